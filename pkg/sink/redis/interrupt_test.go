package redis_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

var errCrash = errors.New("the process is gone")

// interruption lets a number of commands of a Writer through to the nodes of a
// Cluster. What comes after fails, as if the process had crashed; or it is held
// up until it is released, as of a process that had been asleep.
type interruption struct {
	mu   sync.Mutex
	left int
	hit  bool

	asleep chan struct{} // is closed when the first command is held up; nil: commands fail
	awake  chan struct{} // held commands go on when it is closed
}

func crashAfter(n int) *interruption { return &interruption{left: n} }

func asleepAfter(n int) *interruption {
	return &interruption{left: n, asleep: make(chan struct{}), awake: make(chan struct{})}
}

// applying has a writer apply changes, and returns the channel of its answer.
func applying(w *redis.Writer, changes ...sink.Change) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := w.Apply(context.Background(), changes)
		done <- err
	}()
	return done
}

// pass returns how many of n commands may go now.
func (i *interruption) pass(n int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	k := min(n, i.left)
	i.left -= k
	if k < n && !i.hit {
		i.hit = true
		if i.asleep != nil {
			close(i.asleep)
		}
	}
	return k
}

func (i *interruption) DialHook(next driver.DialHook) driver.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (i *interruption) ProcessHook(next driver.ProcessHook) driver.ProcessHook {
	return func(ctx context.Context, cmd driver.Cmder) error {
		if i.pass(1) == 0 {
			if i.asleep == nil {
				cmd.SetErr(errCrash)
				return errCrash
			}
			<-i.awake
		}
		return next(ctx, cmd)
	}
}

func (i *interruption) ProcessPipelineHook(next driver.ProcessPipelineHook) driver.ProcessPipelineHook {
	return func(ctx context.Context, cmds []driver.Cmder) error {
		n := i.pass(len(cmds))
		if n == len(cmds) {
			return next(ctx, cmds)
		}
		if n > 0 {
			if err := next(ctx, cmds[:n]); err != nil && i.asleep != nil {
				return err
			}
		}
		if i.asleep != nil {
			<-i.awake
			return next(ctx, cmds[n:])
		}
		for _, cmd := range cmds {
			cmd.SetErr(errCrash)
		}
		return errCrash
	}
}

// scriptedChain is what happens to a sink of balances in a Cluster.
type scriptedChain struct {
	before, during, after []sink.Change
	wants                 sink.State
	digest                []sink.Change // whose rows are there in the end
}

// newScriptedChain has of everything: history, a block that first came in part and then
// whole, the beginning of the live lane inside the history, a block in parts, a
// reorg, and what follows it.
func newScriptedChain(t testing.TB) *scriptedChain {
	some := func(n block.Number, salt int64, addresses ...byte) []balance {
		var rows []balance
		for _, a := range addresses {
			rows = append(rows, balance{a, n, int64(n)*100 + salt})
		}
		return rows
	}
	part := func(n block.Number, batch string, k, of int, rows []balance) sink.Change {
		c := entryOf(t, blocks(n, n+1), rows...)
		c.Part, c.Parts, c.Batch = k, of, batch
		return c
	}
	l := &live{seq: 7}
	old := entryOf(t, blocks(0, 10), slices.Concat(some(2, 0, 1, 2, 3), some(7, 0, 2, 4), some(9, 1, 5))...)
	whole := entryOf(t, blocks(10, 16), slices.Concat(some(11, 0, 1, 6), some(12, 0, 2, 4, 1), some(15, 0, 3))...)
	beyond := entryOf(t, blocks(16, 24), slices.Concat(some(17, 0, 6, 5), some(22, 3, 1, 2))...) // 22 is of another fork
	kept := entryOf(t, blocks(16, 20), some(17, 0, 6, 5)...)
	first := entryOf(t, blocks(20, 22), some(21, 0, 2, 3, 4)...)
	fork := entryOf(t, blocks(22, 24), slices.Concat(some(22, 7, 1, 2), some(23, 7, 3, 4))...)
	one, two := part(24, "live", 0, 2, some(24, 0, 5, 6)), part(24, "live", 1, 2, some(24, 0, 1))
	again := entryOf(t, blocks(22, 25), slices.Concat(some(22, 9, 1, 5), some(24, 9, 2))...)
	last := entryOf(t, blocks(25, 26), some(25, 0, 6, 1)...)
	watermark := func(n block.Number) sink.Change {
		return l.next(sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(n, n), Hash: block.Hash{byte(n)}}})
	}
	return &scriptedChain{
		before: []sink.Change{old, part(12, "a", 0, 2, some(12, 0, 2, 7))}, // nothing has 7 after all
		during: []sink.Change{whole, beyond, l.next(first), l.next(fork), l.next(one), l.next(two), watermark(24), l.undo(22, 24), l.next(again)},
		after:  []sink.Change{watermark(24), l.next(last)},
		wants:  sink.State{Coverage: block.NewSet(blocks(0, 26)), Live: sink.LiveState{Started: true, Epoch: 1, Seq: 16, Start: 20, Cursor: block.Cursor{Network: "n", Number: 24, Hash: block.Hash{24}}}},
		digest: []sink.Change{old, whole, kept, first, again, last},
	}
}

// content is all that a sink shows, without the names of the test and of entries.
func (s *server) content() map[string]string {
	s.Helper()
	ctx, all := context.Background(), make(map[string]string)
	err := s.nodes(func(node *driver.Client) error {
		keys, err := keysOf(node, s.name+":*")
		if err != nil {
			return err
		}
		for _, key := range keys {
			name := strings.TrimPrefix(key, s.name)
			switch kind := node.Type(ctx, key).Val(); kind {
			case "hash":
				all[name] = fmt.Sprint(node.HGetAll(ctx, key).Val())
			case "string":
				all[name] = node.Get(ctx, key).Val()
			case "list":
				all[name] = fmt.Sprint(node.LRange(ctx, key, 0, -1).Val())
			case "zset":
				all[name] = fmt.Sprint(node.ZRangeWithScores(ctx, key, 0, -1).Val())
			case "stream":
				for _, m := range node.XRange(ctx, key, "-", "+").Val() {
					all[name] += fmt.Sprint(m.Values)
				}
				if all[name] == "" { // all that it held is void
					delete(all, name)
				}
			case "set":
				members := node.SMembers(ctx, key).Val()
				slices.Sort(members)
				all[name] = fmt.Sprint(members)
			default:
				return fmt.Errorf("%s is a %s", key, kind)
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// end checks that the chain has come to its end.
func (c *scriptedChain) end(t *testing.T, s *server, w *redis.Writer, want map[string]string) map[string]string {
	t.Helper()
	state, err := w.State(t.Context())
	if err != nil || !state.Coverage.Equal(c.wants.Coverage) || state.Live != c.wants.Live {
		t.Fatalf("the state is %+v, %v; want %+v", state, err, c.wants)
	}
	got := s.content()
	for key := range want {
		if got[key] != want[key] {
			t.Fatalf("%s holds %s, want %s", key, got[key], want[key])
		}
	}
	if want != nil && len(got) != len(want) {
		t.Fatalf("%d keys, want %d: %v", len(got), len(want), got)
	}
	wantDigests(t, w, c.digest)
	return got
}

// tell applies the chain with a writer that is interrupted, and then with another one. It
// returns false if the first came to the end of it.
func (c *scriptedChain) tell(t *testing.T, cfg config.Redis, table sink.Table, i *interruption) (*redis.Writer, bool) {
	t.Helper()
	first := opened(t, cfg, table)
	apply(t, first, c.before...)
	if err := redis.Hook(first, i); err != nil {
		t.Fatal(err)
	}
	done := applying(first, c.during...)
	interrupted := true
	select {
	case err := <-done:
		if interrupted = err != nil; interrupted && !errors.Is(err, errCrash) {
			t.Fatalf("a writer that lost its nodes answers %v", err)
		}
	case <-i.asleep:
	}
	second := opened(t, cfg, table)
	apply(t, second, c.during...)
	apply(t, second, c.after...)
	if i.asleep != nil {
		close(i.awake)
		if interrupted {
			if err := <-done; err != nil && fault.Of(err) == fault.ClassPermanent {
				t.Fatalf("a writer that slept answers %v", err)
			}
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	return second, interrupted
}

// A writer is stopped between any two commands that reach a node, for good or for
// a while. Another one continues, and nothing is missing or there twice.
func TestInterruptedInACluster(t *testing.T) {
	t.Parallel()
	keys := map[config.Structure]string{config.Hash: "{table}:{address}", config.Stream: "{table}:{address}", config.List: "{table}:{address}",
		config.SortedSet: "{table}:{address}"}
	for structure, key := range keys {
		for name, interrupt := range map[string]func(int) *interruption{"crash": crashAfter, "sleep": asleepAfter} {
			t.Run(string(structure)+" "+name, func(t *testing.T) {
				t.Parallel()
				var want map[string]string
				n := 0
				for interrupted := true; interrupted; n++ {
					s := newCluster(t)
					c := newScriptedChain(t)
					var w *redis.Writer
					if n == 0 { // first as it should be
						w, _ = c.tell(t, s.config(structure, key), balanceTable(s), crashAfter(1<<30))
					} else {
						w, interrupted = c.tell(t, s.config(structure, key), balanceTable(s), interrupt(n-1))
					}
					want = c.end(t, s, w, want)
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if n < 50 {
					t.Errorf("only %d commands were sent", n)
				}
				t.Logf("interrupted after each of %d commands", n-2)
			})
		}
	}
}

// A block comes in parts and, in an entry of other blocks, whole. The writer of the entry
// sleeps after any of its commands until the last part has come, and crashes after any that
// follows: what was complete meanwhile is not rolled back.
func TestCompletedWhileAnotherSleepsInACluster(t *testing.T) {
	t.Parallel()
	rows := []balance{{1, 12, 1}, {2, 12, 2}, {3, 12, 3}, {4, 12, 4}}
	part := func(k int) sink.Change {
		c := entryOf(t, blocks(12, 13), rows[2*k:2*k+2]...)
		c.Part, c.Parts, c.Batch = k, 2, "a"
		return c
	}
	whole := entryOf(t, blocks(10, 16), slices.Concat([]balance{{1, 11, 5}}, rows, []balance{{2, 15, 6}})...)
	beside := []sink.Change{entryOf(t, blocks(0, 10), balance{1, 9, 7}), entryOf(t, blocks(16, 20), balance{2, 16, 8})}
	// tell returns what is there at the end, and whether the writer slept and crashed.
	tell := func(t *testing.T, sleep, crash int) (got map[string]string, slept, crashed bool) {
		s := newCluster(t)
		cfg, table := s.config(config.Set, "{table}:{address}:{block_num}"), balanceTable(s)
		first, second := open(t, cfg, table), open(t, cfg, table)
		apply(t, second, part(0))
		sleeper, crasher := asleepAfter(sleep), crashAfter(crash)
		for _, h := range []*interruption{sleeper, crasher} {
			if err := redis.Hook(first, h); err != nil {
				t.Fatal(err)
			}
		}
		done := applying(first, whole)
		var err error
		select {
		case <-sleeper.asleep:
			slept = true
			apply(t, second, part(1))
			apply(t, second, beside...)
			close(sleeper.awake)
			err = <-done
		case err = <-done:
		}
		if crashed = err != nil; crashed && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		apply(t, second, part(1), whole)
		apply(t, second, beside...)
		state, err := second.State(t.Context())
		if err != nil || !state.Coverage.Equal(block.NewSet(blocks(0, 20))) {
			t.Fatalf("covered are %v, %v", state.Coverage, err)
		}
		return s.content(), slept, crashed
	}
	want, _, _ := tell(t, 1<<30, 1<<30)
	rounds := 0
	for sleep, slept := 1, true; slept; sleep++ {
		for crash, crashed := sleep, true; crashed; crash++ {
			passed := t.Run(fmt.Sprintf("asleep after %d commands, gone after %d", sleep, crash), func(t *testing.T) {
				var got map[string]string
				got, slept, crashed = tell(t, sleep, crash)
				if !maps.Equal(want, got) {
					t.Errorf("%v, want %v", got, want)
				}
			})
			if !passed {
				return
			}
			rounds++
		}
	}
	if rounds < 100 {
		t.Errorf("only %d rounds", rounds)
	}
}
