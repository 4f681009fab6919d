package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// countEvery is how often dead letters are counted.
const countEvery = 10 * time.Second

// countLetters counts the dead letters of each sink for the metrics until end is called. A
// sink that has none and puts none aside is asked once.
func (s *stages) countLetters(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	putting := map[string]bool{}
	for _, name := range puttingAside(s.config) {
		putting[name] = true
	}
	asked := sinkNames(s.config)
	var counting sync.WaitGroup
	counting.Go(func() {
		for len(asked) > 0 {
			var some []string
			for _, name := range asked {
				letters, err := s.conn.DeadLetters(ctx, s.config.Name, name, 0)
				switch {
				case err == nil:
					s.meter.SetDeadLetters(name, letters.Count())
				case errors.Is(err, queue.ErrNoStream) && !putting[name]:
					s.meter.SetDeadLetters(name, 0)
					continue
				}
				some = append(some, name) // NATS that does not answer is said elsewhere
			}
			asked = some
			if fault.Sleep(ctx, countEvery) != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		counting.Wait()
	}
}
