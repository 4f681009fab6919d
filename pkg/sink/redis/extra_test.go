package redis_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// wantExtra compares what is of no block with keys, named without the test's name.
func wantExtra(t *testing.T, s *server, w *redis.Writer, want map[string]uint64) sink.Extras {
	t.Helper()
	found, err := w.FindExtra(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, rows := make(map[string]uint64), uint64(0)
	for key, n := range found.Keys {
		got[strings.TrimPrefix(key, s.name)] = n
		rows += n
	}
	if !maps.Equal(got, want) || rows != found.Rows {
		t.Errorf("%d rows are of no block, at %v; want %v", found.Rows, got, want)
	}
	return found
}

// addExtra puts a row of nobody's under a key.
func (s *server) addExtra(structure config.Structure, key, member string) {
	ctx := context.Background()
	var err error
	switch structure {
	case config.Hash:
		err = s.HSet(ctx, key, "address", member).Err()
	case config.String:
		err = s.Set(ctx, key, member, 0).Err()
	case config.List:
		err = s.RPush(ctx, key, member).Err()
	case config.Set:
		err = s.SAdd(ctx, key, member).Err()
	case config.SortedSet:
		err = s.ZAdd(ctx, key, driver.Z{Score: 1, Member: member}).Err()
	case config.Stream:
		err = s.XAdd(ctx, &driver.XAddArgs{Stream: key, Values: []string{"address", member}}).Err()
	}
	if err != nil {
		s.Fatal(err)
	}
}

// Rows that are in no index are found in every structure, by key; what is written,
// replaced, taken back or has expired is not taken for one, and other keys are not
// looked at.
func TestExtraRowsAreFound(t *testing.T) {
	t.Parallel()
	for place, server := range map[string]func(testing.TB) *server{"server": newServer, "cluster": newCluster} {
		for _, sh := range shapes() {
			if sh.finality > 0 {
				continue // see TestExtraRowsAboveTheFloor
			}
			t.Run(place+"/"+sh.name, func(t *testing.T) {
				t.Parallel()
				x := newSubject(t, server(t), sh)
				wantExtra(t, x.server, x.w, nil)
				x.first(t)
				for _, c := range x.refused(t) {
					wantExtra(t, x.server, x.w, nil)
					apply(t, x.w, c)
				}
				x.begin(t)
				found := wantExtra(t, x.server, x.w, nil)
				if found.Looked == 0 {
					t.Error("no row was looked at")
				}
				// Keys that the pattern cannot make, and those of another type.
				for _, key := range []string{":0xabgg", ":1:2:3:4", ":1:0xab", ":x:y"} {
					x.must(x.HSet(t.Context(), x.name+":theirs"+key, "a", "b").Err())
				}
				x.must(x.PFAdd(t.Context(), x.name+":0xabee", "a").Err())
				if sh.structure == config.String {
					x.must(x.Del(t.Context(), x.name+":0xabee").Err()) // that is a text
				}
				want := make(map[string]uint64)
				for i, key := range []string{":0xab01", ":0xabff"} {
					if sh.structure.Keyed() && strings.Count(sh.key, "{") == 3 {
						key = fmt.Sprintf(":9%d:%s", i, map[bool]string{true: "7", false: "0xab01"}[sh.entry != nil])
					} else if sh.structure.Keyed() {
						key = fmt.Sprintf(":0xab%02x", 90+i)
					}
					x.addExtra(sh.structure, x.name+key, "nobody's")
					want[key] = 1
				}
				if sh.structure == config.List { // an equal row once more
					row := x.LIndex(t.Context(), x.name+":0xab01", 0).Val()
					x.addExtra(sh.structure, x.name+":0xab01", row)
					want[":0xab01"]++
				}
				wantExtra(t, x.server, x.w, want)
				apply(t, x.w, x.lane.undo(12, 30))
				wantExtra(t, x.server, x.w, want)
				if sh.ttl > 0 && sh.structure.Keyed() { // expired rows are not there and not extra
					for key := range want {
						x.must(x.Del(t.Context(), x.name+key).Err())
					}
					x.must(x.Del(t.Context(), x.keys[0]).Err())
					wantExtra(t, x.server, x.w, nil)
				}
			})
		}
	}
}

// Below the floor there is no index: rows of such blocks are left out, and where a row
// does not say of which block it is, that is said.
func TestExtraRowsAboveTheFloor(t *testing.T) {
	t.Parallel()
	for _, structure := range []config.Structure{config.Hash, config.List, config.Stream, config.Set} {
		t.Run(string(structure), func(t *testing.T) {
			s := newServer(t)
			cfg := s.config(structure, "{table}")
			if structure.Keyed() {
				cfg.Key += ":{block_num}:{address}"
			}
			cfg.Finality = 5
			w := open(t, cfg, balanceTable(s))
			for n := range 20 {
				apply(t, w, entryOf(t, blocks(block.Number(n), block.Number(n+1)), balance{1, block.Number(n), 1}))
			}
			if found := wantExtra(t, s, w, nil); found.Below == 0 {
				t.Error("the floor is not told")
			}
			if structure == config.List {
				for _, n := range []int{1, 19} { // only one of them can be told
					s.addExtra(structure, s.name, fmt.Sprintf(`{"block_num":%d}`, n))
				}
				wantExtra(t, s, w, map[string]uint64{"": 1})
			}
		})
	}
	s := newServer(t)
	cfg := s.config(config.List, "{table}")
	cfg.Columns, cfg.Finality = []string{"name"}, 5
	w := open(t, cfg, balanceTable(s))
	apply(t, w, entryOf(t, blocks(0, 50), balance{1, 2, 1}))
	apply(t, w, entryOf(t, blocks(50, 60), balance{1, 52, 1})) // raises the floor
	if _, err := w.FindExtra(t.Context()); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "finality") {
		t.Errorf("answered with %v", err)
	}
}

// What is reported is bounded, and what is in a large key is read bit by bit. A scan may
// come across a key twice while the server's table of keys grows.
func TestManyExtraRows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := open(t, s.config(config.List, "{table}:{address}"), balanceTable(s))
	rows := make([]any, 5000)
	for i := range rows {
		rows[i] = fmt.Sprint("r", i)
	}
	if err := s.RPush(t.Context(), s.name+":0xab01", rows...).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pipelined(t.Context(), func(p driver.Pipeliner) error {
		for i := range 2 * sink.MaxExtraKeys {
			p.RPush(t.Context(), fmt.Sprintf("%s:0x%08x", s.name, i), "x")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	found, err := w.FindExtra(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var named uint64
	for _, n := range found.Keys {
		named += n
	}
	if want := uint64(len(rows) + 2*sink.MaxExtraKeys); found.Rows != want || found.Looked < want || len(found.Keys) != sink.MaxExtraKeys || named+found.More != want {
		t.Errorf("%d extra of %d rows, %d of them at %d keys and %d elsewhere, want %d", found.Rows, found.Looked, named, len(found.Keys), found.More, want)
	}
}

// A sink that is running, and takes blocks back, has no extra rows.
func TestExtraRowsOfARunningSink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := open(t, s.config(config.List, "{table}:{address}"), balanceTable(s))
	reader := open(t, s.config(config.List, "{table}:{address}"), balanceTable(s))
	done, failed := make(chan struct{}), make(chan error, 1)
	l := live{seq: 5}
	rows := entryOf(t, blocks(10, 12), balance{1, 10, 1}, balance{2, 11, 2})
	go func() {
		defer close(failed)
		for {
			for _, c := range []sink.Change{l.next(rows), l.undo(10, 11)} {
				if _, err := w.Apply(context.Background(), []sink.Change{c}); err != nil {
					failed <- err
					return
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	for range 50 {
		wantExtra(t, s, reader, nil)
	}
	close(done)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}
