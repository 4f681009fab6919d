package main

import (
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestPartitionsCostTheSameHoweverManyThereAre counts what does not depend on the machine: how
// many messages a partition takes, and how many bytes, when there are few and when there are
// many. What is kept of them is bounded, and yet says what became of each.
func TestPartitionsCostTheSameHoweverManyThereAre(t *testing.T) {
	few, many := countMessages(t, 600), countMessages(t, 3000)
	for kind, a := range few {
		b := many[kind]
		t.Logf("%s: %.2f and %.2f messages, %.0f and %.0f bytes", kind, a.messages, b.messages, a.bytes, b.bytes)
	}
	a, b := few["all"], many["all"]
	if b.messages > 1.2*a.messages || b.bytes > 1.2*a.bytes {
		t.Error("a partition of many takes more")
	}
	if a.messages > 22 {
		t.Errorf("a partition takes %.1f messages", a.messages)
	}
}

type messages struct{ messages, bytes float64 }

// countMessages loads blocks, each a partition of its own, and returns what one of them took,
// by kind: of what is about one partition. What comes every so many seconds is left out.
func countMessages(t *testing.T, blocks int) map[string]messages {
	t.Helper()
	ctx := t.Context()
	e := &env{dir: t.TempDir()}
	table := numbers{block.Number(blocks)}
	n, err := e.startNATS(ctx, "127.0.0.1:0", table.config())
	must(t, err)
	defer func() { must(t, n.close()) }()
	nc, err := nats.Connect(n.server.URL())
	must(t, err)
	defer nc.Close()
	var mu sync.Mutex
	counted := map[string]messages{}
	_, err = nc.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		for _, kind := range []string{kindOf(m.Subject), "all"} {
			if kindOf(m.Subject) != "" {
				c := counted[kind]
				counted[kind] = messages{c.messages + 1/float64(blocks), c.bytes + float64(m.Size())/float64(blocks)}
			}
		}
	})
	must(t, err)
	must(t, nc.Flush())
	must(t, table.load(ctx, n, nil))
	must(t, nc.Flush())

	stored, err := n.state.Partitions(ctx)
	must(t, err)
	if len(stored) > 1000 {
		t.Errorf("%d records are kept of %d partitions", len(stored), blocks)
	}
	records := make([]state.Partition, len(stored))
	for i, s := range stored {
		records[i] = s.Value
	}
	each, err := state.Separate(records)
	must(t, err)
	seen := map[block.Number]bool{}
	for _, p := range each {
		if p.State != state.PartitionDone || p.Rows != 1 || p.Attempts != 1 || p.Seconds <= 0 || p.Range().Len() != 1 {
			t.Fatalf("one is %+v", p)
		}
		seen[p.Start] = true
	}
	if len(seen) != blocks || len(each) != blocks {
		t.Errorf("the records tell of %d partitions, %d of them different, want %d", len(each), len(seen), blocks)
	}
	mu.Lock()
	defer mu.Unlock()
	return counted
}

// kindOf returns what a message is, by its subject; empty: not about a partition.
func kindOf(subject string) string {
	switch {
	case strings.HasPrefix(subject, "$KV.") && strings.Contains(subject, ".partition."):
		return "record"
	case strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") && (strings.Contains(subject, ".partition.") || strings.Contains(subject, ".p.")):
		return "look at it"
	case strings.HasPrefix(subject, "ampipe.task."):
		return "task"
	case strings.HasPrefix(subject, "ampipe.log."):
		return "entry"
	case strings.HasPrefix(subject, "$JS.ACK."):
		return "acknowledgement"
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
