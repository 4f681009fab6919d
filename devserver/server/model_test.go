package server_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// TestModel lets ampipe's own client follow a chain that grows and forks at
// random under connections that are cut at random: what it has applied in the
// end is the chain.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := liveServer(t, 20, func(o *server.Options) { o.Streaming.Window = 7 })
	c, err := amp.Open(t.Context(), amp.Config{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// The chain stands still when the client is at its head, and continues when told.
	steps := 60
	caught := make(chan block.Cursor)
	var driving sync.WaitGroup
	driving.Go(func() {
		defer stop()
		for range steps {
			for range 1 + rnd.IntN(3) {
				depth := 1 + rnd.Uint64N(uint64(s.chain.View().Range().Len()-1))
				switch rnd.IntN(5) {
				case 0, 1:
					s.chain.Grow(1 + rnd.Uint64N(9))
				case 2:
					depth = min(depth, 4)
					fallthrough
				case 3:
					if err := s.chain.Fork(depth, 1); err != nil {
						t.Error(err)
					}
				case 4:
					s.Cut()
				}
			}
			s.chain.Grow(1)
			head := s.chain.View().Range().Last()
			hash := s.chain.View().Header(head).Hash
			for at := (block.Cursor{}); at.Number != head || at.Hash != hash; {
				select {
				case at = <-caught:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	rows := map[uint64][]string{} // by block
	undone := 0
	options := amp.FollowOptions{Beginning: new(block.Number), Backoff: fault.Backoff{Attempts: 1000, Min: time.Millisecond, Max: 20 * time.Millisecond}}
	for event, err := range c.Follow(ctx, "SELECT _block_num, block_hash, log_index FROM ds.logs", options) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		switch e := event.(type) {
		case amp.Rows:
			numbers := e.Record.Column(0).(*array.Uint64)
			for i := range int(e.Record.NumRows()) {
				n := numbers.Value(i)
				rows[n] = append(rows[n], e.Record.Column(1).ValueStr(i)+" "+e.Record.Column(2).ValueStr(i))
			}
		case amp.Undo:
			undone++
			maps.DeleteFunc(rows, func(n uint64, _ []string) bool { return block.Number(n) >= e.From })
		case amp.Watermark:
			select {
			case caught <- e.Range.Cursor():
			case <-ctx.Done():
			}
		}
	}
	stop()
	driving.Wait()
	r, err := s.ask(t.Context(), "SELECT _block_num, block_hash, log_index FROM ds.logs")
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64][]string{}
	for _, b := range decode(t, r.data) {
		for i := range int(b.NumRows()) {
			n := b.Column(0).(*array.Uint64).Value(i)
			want[n] = append(want[n], b.Column(1).ValueStr(i)+" "+b.Column(2).ValueStr(i))
		}
	}
	if !maps.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("seed %d: %d blocks were applied, the chain has %d, or their rows differ", seed, len(rows), len(want))
	}
	t.Logf("%d blocks, %d undone ranges", len(rows), undone)
}
