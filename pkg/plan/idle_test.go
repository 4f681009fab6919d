package plan_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestAPlannerWithNothingToDoAsksLittle: a pipeline that follows the chain is looked at by a
// few requests a round, which write nothing, and the partitions are not read again.
func TestAPlannerWithNothingToDoAsksLittle(t *testing.T) {
	t.Parallel()
	d := newLiveEnv(t, "warehouse")
	nc, err := nats.Connect(d.server.URL())
	must(t, err)
	t.Cleanup(nc.Close)
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(m.Subject, "$JS.API.CONSUMER.CREATE.KV_"):
			asked["list"]++
		case strings.HasPrefix(m.Subject, "$KV."):
			asked["write"]++
		}
		asked["all"]++
	}
	for _, subject := range []string{"$JS.API.>", "$KV.>"} {
		_, err := nc.Subscribe(subject, count)
		must(t, err)
	}
	must(t, nc.Flush())
	reset := func() map[string]int {
		must(t, nc.Flush())
		mu.Lock()
		defer mu.Unlock()
		was := asked
		asked = map[string]int{}
		return was
	}

	d.publish(entry.Invalidate, block.Closed(800, 800))
	d.publish(entry.Data, block.Closed(800, 989))
	seq := d.publish(entry.Watermark, block.Closed(800, 989))
	d.reached(state.LiveRunning, seq, 990)
	d.run()
	d.reports("warehouse", d.mark(seq, 800, 989), block.Range{Start: 700, End: 990})
	d.until("it follows the chain", func(s plan.Status) bool { return s.Live.Waits == "" && len(s.Sinks) == 1 && s.Sinks[0].Missing == 0 })
	d.next() // the watch has begun

	reset()
	const rounds = 50
	began := time.Now()
	for range rounds {
		d.until("a round", func(plan.Status) bool { return true })
	}
	took := time.Since(began)
	got := reset()
	if most := 1 + int(took/(5*time.Second)); got["list"] > most {
		t.Errorf("the partitions were read %d times in %d rounds, which took %v", got["list"], rounds, took)
	}
	if got["write"] > 0 {
		t.Errorf("%d documents were written", got["write"])
	}
	if got["all"] > 13*rounds {
		t.Errorf("%d requests in %d rounds", got["all"], rounds)
	}
	t.Logf("in %d rounds: %v", rounds, got)

	// And yet it sees at once what a sink loses, or another planner adds.
	must(t, second(d.State.CreatePartition(t.Context(), part(700, 800, 1, state.PartitionOpen))))
	d.until("the partition is there", func(s plan.Status) bool { return len(s.Partitions) == 2 })
}
