package pipeline

import (
	"context"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
)

// pending is a result that is being found out beside other things.
type pending[T any] struct {
	done  chan struct{} // closed once the others are set
	value T
	err   error
}

// begin has f find out a result. f ends by itself, or with a context that its caller ends.
func begin[T any](f func() (T, error)) *pending[T] {
	p := &pending[T]{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.value, p.err = f()
	}()
	return p
}

// wait waits for the result and returns it. It may be called any number of times.
func (p *pending[T]) wait() (T, error) {
	<-p.done
	return p.value, p.err
}

// inquiry is what the Amp server is asked before a pipeline is planned. A server may take long
// to answer, and nothing that is asked depends on NATS or on a destination: they are opened
// meanwhile.
type inquiry struct {
	source  *amp.Client             // to be used once checked is there
	checked *pending[*plan.Checked] // about the query
	sample  *pending[plan.Sample]   // of the rows; an error also if the server plans the query and cannot run it
	cancel  context.CancelFunc
}

// ask begins to ask the pipeline's Amp server. It waits, visibly, for one that is down or
// restarts: nothing has been started, so nothing is lost by waiting. The caller ends it.
func (s *stages) ask(ctx context.Context) *inquiry {
	ctx, cancel := context.WithCancel(ctx)
	asked := &inquiry{cancel: cancel}
	asked.checked = begin(func() (checked *plan.Checked, err error) {
		if asked.source, err = s.openSource(ctx); err != nil {
			return nil, err
		}
		err = s.untilAnswered(ctx, func(ctx context.Context) (err error) {
			checked, err = plan.Check(ctx, asked.source, s.config)
			return err
		})
		return checked, err
	})
	asked.sample = begin(func() (sample plan.Sample, err error) {
		checked, err := asked.checked.wait()
		if err != nil {
			return sample, err
		}
		// A plan that there is already may have a shorter history, but not other rows.
		history := checked.History(s.config.Range)
		err = s.untilAnswered(ctx, func(ctx context.Context) (err error) {
			sample, err = checked.TakeSample(ctx, asked.source, history, func(sample plan.Sample) bool {
				return s.settings.enough(history.Len(), sample)
			})
			return err
		})
		return sample, err
	})
	return asked
}

// end ends what is still asked, and closes the connection.
func (q *inquiry) end() {
	q.cancel()
	_, _ = q.sample.wait() // it comes last, and its error does not count any more
	if q.source != nil {
		_ = q.source.Close() // nothing is in flight
	}
}

// untilAnswered calls ask, which asks the Amp server, until it succeeds.
func (s *stages) untilAnswered(ctx context.Context, ask func(context.Context) error) error {
	defer s.meter.Waiting(partAmp, "")
	return fault.Retry(ctx, backoff(s.config), ask, s.waiting(partAmp))
}
