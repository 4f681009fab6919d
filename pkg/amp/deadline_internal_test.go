package amp

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestDeadlineThatEndsWhileItIsChanged: the limit of the next wait is set while the one
// before may just be over. It is for the race detector.
func TestDeadlineThatEndsWhileItIsChanged(t *testing.T) {
	for range 200 {
		ctx, d := newDeadline(t.Context())
		for _, limit := range []time.Duration{time.Microsecond, 2 * time.Microsecond, time.Microsecond} {
			d.limit = patience{limit: limit}
			d.start()
			d.stop()
		}
		d.limit = patience{limit: time.Microsecond}
		d.start()
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, ErrNoAnswer) {
			t.Fatal(err)
		}
		d.limit = patience{limit: time.Hour}
		d.close()
	}
}
