package extract_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestHistoryIsBoundedBesideTheLiveLane: where the chain is followed, workers publish less at
// a time than they could. The test answers in place of the server.
func TestHistoryIsBoundedBesideTheLiveLane(t *testing.T) {
	t.Parallel()
	const workers = 8
	for _, c := range []struct {
		follows bool
		want    int // entries that are not answered
	}{{false, workers}, {true, workers / 2}} {
		t.Run(fmt.Sprint(c.follows), func(t *testing.T) {
			t.Parallel()
			b := setup(t, newChain(t, workers*10, func(block.Number) int { return 1 }))
			b.x.Workers = workers
			if c.follows {
				b.x.Spec.Live = &state.Origin{Start: workers * 10}
			}
			js := connectTo(t, b.server)
			stream, err := js.Stream(t.Context(), "AMPIPE_LOG_test")
			must(t, err)
			config := stream.CachedInfo().Config
			config.Subjects = []string{"elsewhere"}
			_, err = js.UpdateStream(t.Context(), config)
			must(t, err)
			entries := make(chan *nats.Msg, 2*workers)
			_, err = js.Conn().ChanSubscribe("ampipe.log.test.p.>", entries)
			must(t, err)
			must(t, js.Conn().Flush())
			for i := range block.Number(workers) {
				b.add(block.Range{Start: i * 10, End: i*10 + 10})
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.x.Run(ctx) }()
			var unanswered []*nats.Msg
			for done, answered := 0, 0; done < workers; {
				for len(unanswered) < min(c.want, workers-answered) {
					unanswered = append(unanswered, <-entries)
				}
				if len(unanswered)+len(entries) > c.want {
					t.Fatalf("%d entries are under way, want %d", len(unanswered)+len(entries), c.want)
				}
				answered++
				must(t, unanswered[0].Respond(fmt.Appendf(nil, `{"stream":"AMPIPE_LOG_test","seq":%d}`, answered)))
				unanswered = unanswered[1:]
				<-b.seen.done
				done++
			}
			stop()
			must(t, <-ended)
		})
	}
}
