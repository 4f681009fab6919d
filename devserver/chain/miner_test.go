package chain_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/pkg/block"
)

// TestMinerGrows: a block each block time, unless it is told to pause.
func TestMinerGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := MustNew(t, func(*chain.Config) {})
		m, err := chain.NewMiner(c, chain.Growth{Every: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		grown := func(during time.Duration) uint64 {
			before := c.View().Range().Len()
			time.Sleep(during)
			synctest.Wait()
			return c.View().Range().Len() - before
		}
		if got := grown(5500 * time.Millisecond); got != 5 {
			t.Errorf("%d blocks in 5.5 s", got)
		}
		m.Pause()
		if got := grown(time.Minute); got != 0 || !m.Paused() {
			t.Errorf("%d blocks while it was paused", got)
		}
		m.Resume()
		if got := grown(10 * time.Second); got != 10 {
			t.Errorf("%d blocks in 10 s", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestMinerForks counts reorgs by the blocks that lose their hash, and holds
// their depths to the bounds.
func TestMinerForks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := MustNew(t, func(*chain.Config) {})
		m, err := chain.NewMiner(c, chain.Growth{Every: time.Second, ReorgEvery: 5, Depth: chain.Depth{Least: 1, Most: 40, Mean: 4}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		reorgs, replaced, deepest := 0, uint64(0), uint64(0)
		before := c.View()
		time.Sleep(time.Second / 2) // between the blocks
		for range 1000 {
			time.Sleep(time.Second)
			synctest.Wait()
			now := c.View()
			if got := now.Range().Len() - before.Range().Len(); got != 1 {
				t.Fatalf("the chain grew by %d blocks", got)
			}
			depth := uint64(0)
			for n := before.Range().Last(); before.Header(n).Hash != now.Header(n).Hash; n-- {
				depth++
			}
			if depth > 0 {
				reorgs++
			}
			replaced += depth
			deepest = max(deepest, depth)
			before = now
		}
		if mean := float64(replaced) / float64(reorgs); reorgs < 150 || reorgs > 250 || mean < 3 || mean > 5 || deepest > 40 {
			t.Errorf("%d reorgs of %.1f blocks on average, %d at most", reorgs, mean, deepest)
		}
		stop()
		<-done
	})
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]chain.Depth{
		"3": {Least: 3, Most: 3}, "1-8": {Least: 1, Most: 8}, "1-300/4": {Least: 1, Most: 300, Mean: 4}, "2-9/1.5": {Least: 2, Most: 9, Mean: 1.5},
	} {
		if got, err := chain.ParseDepth(text); err != nil || got != want {
			t.Errorf("%s reads as %+v (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "0-3", "5-3", "x", "1-x", "1-5/x", "1-5/0", "1-5/", "-1", "1/NaN"} {
		if got, err := chain.ParseDepth(text); err == nil {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
	c, _ := MustNew(t, func(*chain.Config) {})
	for _, bad := range []chain.Growth{{Every: -1}, {Every: 1, ReorgEvery: 2}} {
		if _, err := chain.NewMiner(c, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// TestOrphans forks at random and asks for every block there has ever been: one
// that is not in the chain parts from it where the model says.
func TestOrphans(t *testing.T) {
	t.Parallel()
	c, _ := MustNew(t, func(config *chain.Config) { config.Start, config.Blocks = 5, 10 })
	type known struct {
		number block.Number
		hash   block.Hash
	}
	parents := map[known]known{}
	learn := func() {
		v := c.View()
		for n := v.Range().Start; n < v.Range().End; n++ {
			h := v.Header(n)
			parents[known{n, h.Hash}] = known{n - 1, h.Parent}
		}
	}
	learn()
	for i, depth := range []uint64{1, 3, 3, 2, 9, 1, 1, 5, 12, 4, 4, 2} {
		if i%2 == 0 {
			c.Grow(2)
			learn()
		}
		if err := c.Fork(depth, 1); err != nil {
			t.Fatal(err)
		}
		learn()
		now, changed := c.Now()
		for k := range parents {
			if h, found := now.Header(k.number); found && h.Hash == k.hash {
				if _, orphan := now.Orphan(k.number, k.hash); orphan {
					t.Errorf("block %d is in the chain and an orphan", k.number)
				}
				continue
			}
			want := k
			for p := parents[want]; ; p = parents[want] {
				if h, found := now.Header(p.number); found && h.Hash == p.hash {
					break
				}
				want = p
			}
			if from, found := now.Orphan(k.number, k.hash); !found || from != want.number {
				t.Errorf("fork %d: block %d parts at %d (%v), want %d", i, k.number, from, found, want.number)
			}
		}
		if i%4 != 3 {
			continue
		}
		c.Forget()
		forgotten, _ := c.Now()
		for k := range parents {
			if _, found := forgotten.Orphan(k.number, k.hash); found {
				t.Errorf("block %d was not forgotten", k.number)
			}
		}
		select {
		case <-changed:
			t.Error("forgetting changed the chain")
		default:
		}
		// What is forgotten stays so; the model continues with the chain alone.
		clear(parents)
		learn()
	}
}
