package redis_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// unreliable is a Writer that crashes or falls asleep now and then, while another
// process continues for it.
type unreliable struct {
	sink.Writer
	d      *destination
	table  sink.Table
	random func(int) int
}

func (u *unreliable) fresh(ctx context.Context) (*redis.Writer, error) {
	w := redis.New(u.d.cfg)
	return w, w.Open(ctx, u.table)
}

func (u *unreliable) Open(ctx context.Context, t sink.Table) (err error) {
	t.Pipeline = u.d.name
	u.table = t
	u.Writer, err = u.fresh(ctx)
	return err
}

func (u *unreliable) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	for u.random(2) == 0 {
		w, err := u.fresh(ctx)
		if err != nil {
			return sink.Applied{}, err
		}
		i := crashAfter(u.random(60))
		if u.random(3) == 0 {
			i = asleepAfter(u.random(60))
		}
		if err := redis.Hook(w, i); err != nil {
			return sink.Applied{}, err
		}
		done := applying(w, changes...)
		slept := false
		select {
		case err = <-done:
		case <-i.asleep:
			slept = true
		}
		if slept {
			applied, failed := u.Writer.Apply(ctx, changes)
			close(i.awake)
			<-done
			err = errors.Join(failed, w.Close())
			if err == nil {
				return applied, nil
			}
			return sink.Applied{}, err
		}
		if closed := w.Close(); closed != nil {
			return sink.Applied{}, closed
		}
		if err != nil && !errors.Is(err, errCrash) {
			return sink.Applied{}, err
		}
	}
	return u.Writer.Apply(ctx, changes)
}

// The random cases of the suite, with processes that fail: in the end the table is
// the same as that of the model.
func TestRandomCrashesInACluster(t *testing.T) {
	for name, k := range map[string]structures{
		"stream and hash":      {config.Stream, config.Hash, config.Hash},
		"list and sorted sets": {config.List, config.SortedSet, config.String},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(seed, 9))
			random := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			sinktest.RunRandom(t, func(t testing.TB, s sinktest.Setup) sinktest.Destination {
				return chaotic{k.spread(t, s).(*destination), random}
			})
		})
	}
}

type chaotic struct {
	*destination
	random func(int) int
}

func (c chaotic) Writer(testing.TB) sink.Writer {
	return &unreliable{d: c.destination, random: c.random}
}
