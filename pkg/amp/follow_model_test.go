package amp_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// TestFollowModel follows a chain that grows and forks at random, over connections
// that break at random, into a consumer that stops at random, from a server that
// forgets at random. Whenever the consumer has caught up, its table is the chain.
func TestFollowModel(t *testing.T) {
	t.Parallel()
	runs := 40
	if testing.Short() {
		runs = 5
	}
	for range runs {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			m := &model{T: t, random: rand.New(rand.NewPCG(seed, 0)), broken: rand.New(rand.NewPCG(seed, 1))}
			m.run()
		})
	}
}

type model struct {
	*testing.T
	random *rand.Rand
	srv    *amptest.Server
	client *amp.Client
	chain  *amptest.Chain
	blocks []amptest.Block // the canonical ones
	fork   byte
	reorgs int
	split  *amp.Split

	faults sync.Mutex
	broken *rand.Rand // of fault
}

func (m *model) run() {
	m.chain = amptest.NewChain(amptest.Network, amptest.Schema)
	m.srv = amptest.Start(m.T, func(q amptest.Query) amptest.Answer {
		if r, ok := asked(q); ok {
			return m.chain.Batch(r)
		}
		return m.chain.Answer(q)
	})
	if m.random.IntN(2) == 0 {
		m.split = &amp.Split{Streams: 2 + m.random.IntN(3), Query: batchOf, From: 1 + m.random.Uint64N(8), Memory: 1}
	}
	m.client = open(m.T, amp.Config{URL: m.srv.URL()})
	m.chain.Window(1 + m.random.Uint64N(30))
	m.extend(block.Number(m.random.IntN(2)*1000), 1+m.random.IntN(20))
	table := newTable()
	for range 12 {
		for range m.random.IntN(3) {
			m.change()
		}
		m.srv.Next(func(amptest.Query) amptest.Fault { return m.fault() })
		m.follow(table, m.random.IntN(30))
	}
	m.srv.Next(func(amptest.Query) amptest.Fault { return amptest.Pass() })
	if table.head() != m.chain.Head() || table.unfinished {
		o := table.restart()
		o.Backoff, o.Split = quick.Backoff, m.split
		followTo(m.T, m.client, query, o, table, m.chain.Head())
	}
	want := map[block.Number][]string{}
	for _, b := range m.blocks {
		want[b.Number] = []string{rowText(b.Rows[0], 0)}
	}
	table.checkRows(m.T, want)
	m.Logf("%d reorgs of the chain, %d seen", m.reorgs, table.reorgs)
}

// follow runs the consumer for some events, while the chain continues.
func (m *model) follow(table *table, events int) {
	if table.head() == m.chain.Head() && !table.unfinished {
		return
	}
	o := table.restart()
	o.Backoff, o.Split = quick.Backoff, m.split
	for e, err := range m.client.Follow(m.Context(), query, o) {
		if err == nil {
			err = table.apply(e)
		}
		if err != nil {
			m.Fatal(err)
		}
		if m.random.IntN(10) == 0 {
			m.change()
		}
		events--
		if events <= 0 || (table.head() == m.chain.Head() && !table.unfinished) {
			return
		}
	}
}

func (m *model) change() {
	head := m.blocks[len(m.blocks)-1].Number
	switch m.random.IntN(6) {
	case 0:
		m.chain.Forget()
	case 1:
		m.chain.Window(1 + m.random.Uint64N(30))
	case 2, 3:
		m.extend(head+1, 1+m.random.IntN(5))
	default: // the first block is never replaced
		if depth := 1 + m.random.IntN(12); depth < len(m.blocks) {
			m.reorgs++
			m.fork++
			m.extend(head+1-block.Number(depth), depth+1+m.random.IntN(3))
		}
	}
}

func (m *model) extend(from block.Number, n int) {
	made := amptest.Made(block.Range{Start: from, End: from + block.Number(n)}, m.fork)
	m.chain.Extend(made...)
	if len(m.blocks) > 0 {
		m.blocks = m.blocks[:from-m.blocks[0].Number]
	}
	m.blocks = slices.Concat(m.blocks, made)
}

// fault draws how the server answers. It is called for several requests at once.
func (m *model) fault() amptest.Fault {
	m.faults.Lock()
	after, kind := m.broken.IntN(25), m.broken.IntN(5)
	m.faults.Unlock()
	switch kind {
	case 0:
		return amptest.CutAfter(after)
	case 1:
		return amptest.EndAfter(after)
	case 2:
		return amptest.FailAfter(after, codes.Internal, "streaming query execution error | Caused by: something")
	case 3:
		return amptest.Refuse(codes.Unavailable, "try later")
	}
	return amptest.Pass()
}
