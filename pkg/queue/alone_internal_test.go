package queue

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestRequestsOfAProcessThatIsAlone: one that has the server to itself asks seldom for messages,
// since nobody else waits for what it has asked for, and holds the live lane for longer than it
// asks. Where other processes may come, they take over as soon as ever.
func TestRequestsOfAProcessThatIsAlone(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]struct {
		live, history time.Duration
	}{
		"":            {aloneExpiry, aloneExpiry},
		"127.0.0.1:0": {liveExpiry, pullExpiry},
	} {
		l := testLog(t, ServerConfig{Listen: listen}, Config{})
		asked := make(chan *nats.Msg, 100)
		if _, err := l.conn.nc.ChanSubscribe("$JS.API.CONSUMER.MSG.NEXT.>", asked); err != nil {
			t.Fatal(err)
		}
		for lanes, expiry := range map[Lanes]time.Duration{Live: want.live, History: want.history} {
			consumer, err := l.Consume(t.Context(), "warehouse", ConsumeOptions{Lanes: lanes})
			if err != nil {
				t.Fatal(err)
			}
			<-asked
			if got := consumer.expiry(); got != expiry {
				t.Errorf("listening on %q, a request for lanes %v lasts %v, want %v", listen, lanes, got, expiry)
			}
			if lanes == Live {
				info, err := l.conn.js.Consumer(t.Context(), l.stream(), lanes.durable("warehouse"))
				if err != nil {
					t.Fatal(err)
				}
				if pinned := info.CachedInfo().Config.PinnedTTL; pinned <= expiry || pinned > expiry+2*time.Second {
					t.Errorf("listening on %q, the lane is held for %v, and requests last %v", listen, pinned, expiry)
				}
			}
			consumer.Close()
		}
	}
}
