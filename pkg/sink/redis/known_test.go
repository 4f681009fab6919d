package redis_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// requests counts what is sent to the server, by the names of the commands.
type requests struct {
	interruption
	counting sync.Mutex
	sent     [][]string // of each request
}

func (r *requests) count(cmds ...driver.Cmder) {
	r.counting.Lock()
	defer r.counting.Unlock()
	var names []string
	for _, c := range cmds {
		names = append(names, c.Name())
	}
	r.sent = append(r.sent, names)
}

// take returns what was sent since it was called last.
func (r *requests) take() [][]string {
	r.counting.Lock()
	defer r.counting.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func (r *requests) ProcessHook(next driver.ProcessHook) driver.ProcessHook {
	return func(ctx context.Context, cmd driver.Cmder) error {
		r.count(cmd)
		return next(ctx, cmd)
	}
}

func (r *requests) ProcessPipelineHook(next driver.ProcessPipelineHook) driver.ProcessPipelineHook {
	return func(ctx context.Context, cmds []driver.Cmder) error {
		r.count(cmds...)
		return next(ctx, cmds)
	}
}

// closing returns the live entry of a block that also closes its range, with two rows.
func closing(t testing.TB, l *live, n block.Number) sink.Change {
	c := entryOf(t, blocks(n, n+1), balance{1, n, int64(n)}, balance{2, n, int64(n)})
	c.Complete, c.Network, c.Hash = true, "n", block.Hash{byte(n)}
	return l.next(c)
}

// TestALiveBlockIsOneRequest: what is committed is read when the lane begins, and not for each
// block.
func TestALiveBlockIsOneRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := open(t, s.config(config.Hash, "{table}:{address}:{block_num}"), balanceTable(s))
	r := &requests{}
	if err := redis.Hook(w, r); err != nil {
		t.Fatal(err)
	}
	l := &live{seq: 7}
	apply(t, w, closing(t, l, 10))
	if sent := r.take(); len(sent) < 2 {
		t.Errorf("the first block takes %q, and what is committed was not read", sent)
	}
	for n := block.Number(11); n < 20; n++ {
		apply(t, w, closing(t, l, n))
		if sent := r.take(); len(sent) != 1 || !slices.Equal(sent[0], []string{"evalsha"}) {
			t.Errorf("block %d takes %q, want one call of the script", n, sent)
		}
	}
	apply(t, w, l.undo(18, 19))
	r.take()
	apply(t, w, closing(t, l, 18))
	if sent := r.take(); len(sent) != 2 {
		t.Errorf("behind a reorg a block takes %q, and what is committed was not read", sent)
	}
	state, err := w.State(t.Context())
	if err != nil || !state.Coverage.Equal(block.NewSet(blocks(10, 19))) || state.Live.Seq != l.seq {
		t.Errorf("committed is %+v (%v)", state, err)
	}
}

// TestWhatAWriterRemembersMayBeOld: another process has the lane, or the destination was set
// back. Then it is as if nothing had been remembered.
func TestWhatAWriterRemembersMayBeOld(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config(config.Hash, "{table}:{address}:{block_num}")
	first, second := open(t, cfg, balanceTable(s)), open(t, cfg, balanceTable(s))
	l := &live{seq: 7}
	var all []sink.Change
	for n := range block.Number(8) {
		all = append(all, closing(t, l, 10+n))
	}
	want := func(what string, until int) {
		t.Helper()
		state, err := first.State(t.Context())
		if err != nil || !state.Coverage.Equal(block.NewSet(blocks(10, block.Number(10+until)))) || state.Live.Seq != all[until-1].Seq {
			t.Errorf("%s: committed is %+v (%v), want %d blocks", what, state, err, until)
		}
		wantDigests(t, first, all[:until])
	}
	apply(t, first, all[0], all[1])
	apply(t, second, all[2])
	if applied := apply(t, first, all[2], all[3]); applied.Rows != 2 || applied.Skipped != 2 {
		t.Errorf("behind another process: %+v", applied)
	}
	want("behind another process", 4)
	apply(t, second, all[4])
	if _, err := second.Apply(t.Context(), all[6:7]); !errors.Is(err, sink.ErrGap) {
		t.Errorf("a gap: %v", err)
	}
	if applied := apply(t, first, all[4]); applied.Rows != 0 || applied.Skipped != 2 {
		t.Errorf("what another process has applied: %+v", applied)
	}
	apply(t, first, all[5])
	want("in turns", 6)

	// The lane is set back by one entry, as by a backup.
	var state string
	keys, err := keysOf(s.UniversalClient.(*driver.Client), "*"+s.name+"*")
	if err != nil || len(keys) == 0 {
		t.Fatal(err)
	}
	for _, key := range keys {
		if s.Type(t.Context(), key).Val() == "hash" && s.HExists(t.Context(), key, "seq").Val() {
			state = key
		}
	}
	if err := s.HSet(t.Context(), state, "seq", all[4].Seq).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Apply(t.Context(), all[6:7]); !errors.Is(err, sink.ErrGap) {
		t.Errorf("behind a lane that was set back: %v", err)
	}
	apply(t, first, all[5], all[6])
	want("set back", 7)

	// Everything is gone.
	if err := s.remove(); err != nil {
		t.Fatal(err)
	}
	if applied, err := first.Apply(t.Context(), all[7:]); err == nil {
		t.Errorf("the state is gone: %+v", applied)
	}
}
