package apply

import (
	"errors"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink"
)

// TestTheReasonThatIsShown is a fault if there is one, also while another part has waited its
// turn since then.
func TestTheReasonThatIsShown(t *testing.T) {
	s := newStatus(nopObserver{})
	turn, fault := s.pauser(), s.pauser()
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"one is at fault", func() { fault.Pause(errors.New("connection refused")) }, "connection refused"},
		{"another waits its turn", func() { turn.Pause(sink.InTurn(errors.New("waits for a lock"))) }, "connection refused"},
		{"the fault is over", fault.Resume, "waits for a lock"},
		{"nothing is waited for", turn.Resume, ""},
	} {
		c.do()
		got := ""
		if _, reason := s.read(); reason != nil {
			got = reason.Error()
		}
		if got != c.want || s.shown != c.want {
			t.Errorf("%s: %q, and the observer was shown %q, want %q", c.name, got, s.shown, c.want)
		}
	}
}
