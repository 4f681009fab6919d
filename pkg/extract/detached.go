package extract

import "golang.org/x/sync/errgroup"

// detachedTasks are tasks that continue without a worker: each waits for one block that
// cannot be read for the time being, and the worker reads other blocks meanwhile.
type detachedTasks struct {
	group *errgroup.Group
	free  chan struct{} // holds one token for each task
}

func newDetachedTasks(g *errgroup.Group) *detachedTasks {
	return &detachedTasks{group: g, free: make(chan struct{}, mostFaults)}
}

// do returns when op has returned, with its error, or when op has called the function that
// it is given, unless too many go on already. The error of one that has gone on is passed
// to report.
func (p *detachedTasks) do(op func(detach func()) error, report func(error)) error {
	ended, detached := make(chan error, 1), make(chan struct{})
	p.group.Go(func() error {
		alone := false
		err := op(func() {
			if alone {
				return
			}
			select {
			case p.free <- struct{}{}:
				alone = true
				close(detached)
			default:
			}
		})
		if !alone {
			ended <- err
			return nil
		}
		<-p.free
		if err != nil {
			report(err)
		}
		return nil
	})
	select {
	case err := <-ended:
		return err
	case <-detached:
		return nil
	}
}
