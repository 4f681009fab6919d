package page

import (
	"context"
	"testing"
	"time"
)

// TestPace: a look that takes long is repeated less often, unless it has only waited for a
// server that does not answer.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ took, want time.Duration }{
		{0, 2 * time.Second}, {10 * time.Millisecond, 2 * time.Second}, {200 * time.Millisecond, 12 * time.Second},
		{1200 * time.Millisecond, 15 * time.Second}, {time.Hour, 15 * time.Second},
	} {
		if got := (moment{took: c.took}).pace(); got != c.want {
			t.Errorf("after a look of %v the next is due in %v, want %v", c.took, got, c.want)
		}
	}
	for _, unseen := range []bool{false, true} {
		s := New(func(context.Context) View { return View{Unseen: unseen} }, Options{})
		if m := s.see(t.Context(), moment{}); (m.took == 0) != unseen {
			t.Errorf("unseen %v: the look is taken to be %v long", unseen, m.took)
		}
	}
}
