package extract_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// listener notes the queries that a chain is asked.
type listener struct {
	*chain
	mu      sync.Mutex
	queries []string
}

func (l *listener) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	l.mu.Lock()
	l.queries = append(l.queries, query)
	l.mu.Unlock()
	return l.chain.Fetch(ctx, query)
}

func (l *listener) with(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queries {
		if strings.Contains(q, part) {
			n++
		}
	}
	return n
}

// A process that reads a partition when the query is changed leaves it where it is, and
// reads the rest, once it is a partition of the new version, with the new query.
func TestTheRestOfAPartitionIsReadWithTheMendedQuery(t *testing.T) {
	ctx := t.Context()
	all := block.Range{Start: 0, End: 400}
	c := newChain(t, all.End, func(block.Number) int { return 5 })
	b := setup(t, c)
	source := &listener{chain: c}
	b.x.Source, b.x.Workers = source, 1
	spec := b.x.Spec
	spec.Query = "SELECT * FROM test.rows"
	rev, err := b.state.SaveSpec(ctx, spec, 0)
	must(t, err)
	c.set(func(c *chain) {
		// After its first message the server is away for longer than the test lasts.
		c.during = func(_ block.Range, sent int) error {
			if sent == 0 {
				return nil
			}
			return fault.Later(errors.New("away"), time.Hour)
		}
	})
	b.add(all)
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.x.Run(run) }()
	b.seen.comesTo(t, "partition 0.0", true)
	later := spec
	later.Epoch, later.Version, later.Query = spec.Epoch+1, 1, "SELECT * FROM test.mended"
	must(t, second(b.state.SaveSpec(ctx, later, rev)))
	first := untilDone(t, b.state, "0.0")
	if first.End >= all.End || first.Version != 0 {
		t.Fatalf("the partition was not left where it was: %+v", first)
	}
	if n := source.with("test.mended"); n != 0 {
		t.Errorf("the partition of the first version was read %d times with the mended query", n)
	}
	c.set(func(c *chain) { c.during = nil })
	before := source.with("test.rows")
	rest := state.Partition{Start: first.End, End: all.End, Generation: 1, Version: 1, State: state.PartitionOpen}
	_, err = b.state.CreatePartition(ctx, rest)
	must(t, err)
	_, err = b.tasks.Add(ctx, queue.PartitionTask, rest.ID())
	must(t, err)
	untilDone(t, b.state, rest.ID())
	b.checkLog(all) // also a tail that it has given away
	stop()
	must(t, <-ended)
	if source.with("test.rows") != before || source.with("test.mended") == 0 {
		t.Errorf("the rest was read with the query before: %q", source.queries)
	}
}

// A process that keeps running while the state of NATS is lost reads what the new plan says,
// with the query of that plan, although its versions begin at 0 again.
func TestAPlanThatWasMadeAnewCountsFromTheBeginning(t *testing.T) {
	for version := range 2 {
		ctx := t.Context()
		all := block.Range{Start: 0, End: 40}
		b := setup(t, newChain(t, all.End, func(block.Number) int { return 5 }))
		source := &listener{chain: b.chain}
		b.x.Source, b.x.Workers = source, 1
		b.x.Spec.Version, b.x.Spec.Query = version, "SELECT * FROM test.rows"
		must(t, second(b.state.SaveSpec(ctx, b.x.Spec, 0)))
		before := state.Partition{Start: 100, End: 100, Version: version, State: state.PartitionOpen}
		must(t, second(b.state.CreatePartition(ctx, before)))
		must(t, second(b.tasks.Add(ctx, queue.PartitionTask, before.ID())))
		run, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- b.x.Run(run) }()
		untilDone(t, b.state, before.ID()) // by now the process has seen the plan

		deleteDocument(t, b.server, "test.spec")
		anew := b.x.Spec
		anew.Epoch, anew.Version, anew.Query = b.x.Spec.Epoch+1, 0, "SELECT * FROM test.mended"
		must(t, second(b.state.SaveSpec(ctx, anew, 0)))
		b.add(all)
		untilDone(t, b.state, "0.0")
		stop()
		must(t, <-ended)
		if source.with("test.rows") != 0 || source.with("test.mended") == 0 {
			t.Errorf("version %d: a new plan was read with the query of the one before: %q", version, source.queries)
		}
	}
}

func untilDone(t *testing.T, kv *queue.State, id string) state.Partition {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		p, _, err := kv.Partition(t.Context(), id)
		must(t, err)
		if p.State == state.PartitionDone {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("partition %+v is not done", p)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func second[T any](_ T, err error) error { return err }
