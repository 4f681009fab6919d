package extract

import "golang.org/x/sync/errgroup"

// detachedTasks are tasks that continue without a worker, which reads other blocks meanwhile:
// each waits for one block that cannot be read for the time being, or puts the last of what
// was read into the log.
type detachedTasks struct {
	group *errgroup.Group
	free  chan struct{} // one token for each task
}

func newDetachedTasks(g *errgroup.Group, most int) *detachedTasks {
	return &detachedTasks{group: g, free: make(chan struct{}, most)}
}

// do runs op. It returns op's error when op has returned, or nil when op has called detach,
// which does nothing while too many tasks are detached. The error of a detached op is
// passed to report.
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
