package apply_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/state"
)

// TestASinkThatRests takes nothing, reports all the time that it does and what it holds, and
// continues where it was.
func TestASinkThatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 2, 10)...)
		r.runs(time.Minute)
		r.watch.reported()
		r.log.add(encoded(t, logSchema, upTo(30), 10))

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.loop.Rest(ctx, errors.New("paused by a person"))
		}()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		reports := r.watch.reported()
		if len(reports) != 3 {
			t.Errorf("%d reports in 31 s, want one each 15 s", len(reports))
		}
		for _, one := range reports {
			if one.State != state.SinkPaused || !one.ByRequest || one.Reason != "paused by a person" || one.Coverage.Len() != 20 {
				t.Errorf("%+v", one)
			}
		}
		stop()
		<-ended
		if late := r.watch.reported(); len(late) > 0 || len(r.log.acked()) != 2 {
			t.Errorf("at the end: %+v; acknowledged are %v", late, r.log.acked())
		}

		r.runs(time.Minute)
		for _, one := range r.watch.reported() {
			if one.ByRequest || one.Reason != "" {
				t.Errorf("when it has resumed: %+v", one)
			}
		}
		r.wantBlocks(10, upTo(30))
	})
}
