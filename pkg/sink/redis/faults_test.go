package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

var balances = arrow.NewSchema([]arrow.Field{
	{Name: "address", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "balance", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

func balanceTable(s *server) sink.Table {
	return sink.Table{Pipeline: s.name, Sink: "s", Schema: balances, BlockColumn: 1, Epoch: 1, Network: "n"}
}

// balance is a row; an address of 0 is null, and so is a balance below 0.
type balance struct {
	address byte
	block   block.Number
	balance int64
}

// entryOf is an entry of a range.
func entryOf(t testing.TB, r block.Range, rows ...balance) sink.Change {
	b := array.NewRecordBuilder(memory.DefaultAllocator, balances)
	defer b.Release()
	for _, row := range rows {
		if row.address == 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.BinaryBuilder).Append([]byte{0xab, row.address})
		}
		b.Field(1).(*array.Uint64Builder).Append(uint64(row.block))
		if row.balance < 0 {
			b.Field(2).AppendNull()
		} else {
			b.Field(2).(*array.Int64Builder).Append(row.balance)
		}
		b.Field(3).(*array.StringBuilder).Append("a:b%")
	}
	rec := b.NewRecordBatch()
	t.Cleanup(rec.Release)
	return sinktest.ChangeOf(r, rec)
}

// live makes entries of the live lane.
type live struct{ seq uint64 }

func (l *live) next(c sink.Change) sink.Change {
	c.Live, c.After, c.Epoch = true, l.seq, 1
	l.seq++
	c.Seq = l.seq
	return c
}

func (l *live) undo(n, last block.Number) sink.Change {
	return l.next(sink.Change{Header: entry.Header{Kind: entry.Invalidate, Network: "n", Range: block.Closed(n, last)}})
}

func apply(t testing.TB, w sink.Writer, changes ...sink.Change) sink.Applied {
	t.Helper()
	applied, err := w.Apply(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func blocks(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }

// A key without the block: after a reorg the row of the highest block that is
// left is back, in every structure that has keys, however the blocks came.
func TestReplacedRowsComeBack(t *testing.T) {
	t.Parallel()
	for _, structure := range []config.Structure{config.Hash, config.String, config.Set, config.SortedSet} {
		t.Run(string(structure), func(t *testing.T) {
			s := newServer(t)
			cfg := s.config(structure, "{table}:{address}")
			if !structure.Keyed() {
				cfg.Key, cfg.Columns = "{table}", []string{"address"}
			}
			w := open(t, cfg, balanceTable(s))
			show := func() string {
				ctx := context.Background()
				switch structure {
				case config.Hash:
					m := s.HGetAll(ctx, s.name+":0xab01").Val()
					return m["block_num"] + "=" + m["balance"]
				case config.String:
					return s.Get(ctx, s.name+":0xab01").Val()
				case config.Set:
					return fmt.Sprint(s.SMembers(ctx, s.name).Val())
				default:
					return fmt.Sprint(s.ZRangeWithScores(ctx, s.name, 0, -1).Val())
				}
			}
			seen := make(map[string]string)
			see := func(state string) {
				t.Helper()
				if was, known := seen[state]; known && was != show() {
					t.Errorf("%s: %s is shown, want %s", state, show(), was)
				}
				seen[state] = show()
			}
			see("nothing")
			l := &live{seq: 10}
			apply(t, w, entryOf(t, blocks(50, 60), balance{1, 55, 5}))
			see("55")
			apply(t, w, l.next(entryOf(t, blocks(100, 101), balance{1, 100, 10})))
			see("100")
			apply(t, w, entryOf(t, blocks(60, 100), balance{1, 70, 7})) // out of order, between
			see("100")
			apply(t, w, l.next(entryOf(t, blocks(101, 103), balance{1, 101, 11}, balance{1, 101, -1}, balance{1, 102, 12})))
			see("102")
			apply(t, w, l.undo(102, 102))
			see("101")
			apply(t, w, l.undo(101, 101))
			see("100")
			apply(t, w, l.next(entryOf(t, blocks(101, 102), balance{1, 101, 11}, balance{1, 101, -1})))
			see("101")
			if got := apply(t, w, l.undo(60, 101)); got.Deleted < 3 {
				t.Errorf("%+v: three blocks were undone", got)
			}
			see("55")
			apply(t, w, l.undo(0, 59))
			see("nothing")
			if n := s.Exists(context.Background(), "ampipe:{"+s.name+"}:s:owners", "ampipe:{"+s.name+"}:s:replaced", "ampipe:{"+s.name+"}:s:index").Val(); n != 0 {
				t.Errorf("%d keys of the state still hold something of rows that are gone", n)
			}
			if structure == config.Hash && (seen["55"] != "55=5" || seen["101"] != "101=") {
				t.Errorf("shown was %v", seen)
			}
		})
	}
}

// An expired row is not a difference; a changed one is.
func TestExpiredRowsAreNotMissing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config(config.Hash, "{table}:{block_num}:{address}")
	cfg.TTL = time.Hour
	w := open(t, cfg, balanceTable(s))
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, -1}, balance{3, 2, 7})
	apply(t, w, c)
	ctx := context.Background()
	if ttl := s.TTL(ctx, s.name+":1:0xab01").Val(); ttl < 50*time.Minute || ttl > time.Hour {
		t.Errorf("the ttl is %v", ttl)
	}
	sinktest.WantSameDigests(t, w, c.Records...)
	s.Del(ctx, s.name+":2:0xab02") // as if it had expired
	sinktest.WantSameDigests(t, w, c.Records...)
	s.HSet(ctx, s.name+":1:0xab01", "balance", 6)
	source, stored := w.DigestSource(), sink.Digests{}
	if err := errors.Join(source.Add(c.Records[0]), w.DigestStored(ctx, blocks(0, 10), stored)); err != nil {
		t.Fatal(err)
	}
	if want := source.Digests(); stored[1] == want[1] || stored[2] != want[2] {
		t.Errorf("a changed row: %v, the source %v", stored, want)
	}
}

func TestKeysNameTheRow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := open(t, s.config(config.Hash, "{{x}}{table}/{name}:{address}:{block_num}"), balanceTable(s))
	apply(t, w, entryOf(t, blocks(0, 10), balance{1, 1, -1}))
	key := "{x}" + s.name + "/a%3Ab%25:0xab01:1"
	if got, want := s.HGetAll(context.Background(), key).Val(), map[string]string{"address": "0xab01", "block_num": "1", "name": "a:b%"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s holds %v, want %v", key, got, want)
	}
	_, err := w.Apply(t.Context(), []sink.Change{entryOf(t, blocks(10, 20), balance{0, 11, 1})})
	if bad, ok := errors.AsType[*sink.BadRowError](err); !ok || bad.Column != "address" || bad.Block != 11 {
		t.Errorf("a key without a value is answered with %v", err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, c := range map[string]struct {
		change func(*config.Redis)
		want   string
	}{
		"a column that is not there": {func(c *config.Redis) { c.Key = "{table}:{nobody}" }, `no column "nobody"; it gives ["address"`},
		"a brace":                    {func(c *config.Redis) { c.Key = "{table}:{block_num" }, "does not close it"},
		"one key for all":            {func(c *config.Redis) { c.Key = "t" }, "the same for all rows"},
		"nothing between":            {func(c *config.Redis) { c.Key = "{address}{block_num}" }, `put a ":" there`},
		"a score of text":            {func(c *config.Redis) { c.Structure, c.Key, c.Score = config.SortedSet, "t", "name" }, "choose a numeric column"},
		"a score that is not there":  {func(c *config.Redis) { c.Structure, c.Key, c.Score = config.SortedSet, "t", "x" }, `no column "x"`},
		"columns that are not there": {func(c *config.Redis) { c.Columns = []string{"x"} }, `no column "x"`},
		"no module":                  {func(c *config.Redis) { c.Structure = config.JSON }, "does not have the module RedisJSON"},
		"no cluster":                 {func(c *config.Redis) { c.Cluster, c.URL = true, config.Secret(tcp(t)) }, "not a Redis Cluster"},
		"a wrong user": {func(c *config.Redis) {
			c.URL = config.Secret(strings.Replace(tcp(t), "redis://", "redis://bob:geheim@", 1))
		}, "check user and password"},
		"not Redis": {func(c *config.Redis) { c.URL = config.Secret("redis://" + webServer(t)) }, "is not Redis"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.config(config.Hash, "{table}:{block_num}:{address}")
			c.change(&cfg)
			w := redis.New(cfg)
			err := w.Open(t.Context(), balanceTable(s))
			if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v, want a permanent error with %q", err, c.want)
			}
			if n := s.Exists(context.Background(), "ampipe:{"+s.name+"}:s:state").Val(); n != 0 {
				t.Error("something was written")
			}
		})
	}
	w := redis.New(config.Redis{URL: "redis://127.0.0.1:1", Structure: config.Hash, Key: "{address}"})
	if err := w.Open(t.Context(), balanceTable(s)); fault.Of(err) != fault.ClassLater {
		t.Errorf("a server that is down is answered with %v", err)
	}
}

// A full server is waited for, and nothing is lost or half there.
func TestFullServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	url := private(t, "--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes")
	admin := connected(t, url)
	cfg := s.config(config.Hash, "{table}:{block_num}:{address}")
	cfg.URL = config.Secret(url)
	w := open(t, cfg, balanceTable(s))
	if warnings := w.Warnings(sink.Table{}); len(warnings) != 1 || !strings.Contains(warnings[0], "allkeys-lru") {
		t.Errorf("warnings are %q", warnings)
	}
	admin.ConfigSet(t.Context(), "maxmemory-policy", "noeviction")
	admin.ConfigSet(t.Context(), "maxmemory", "1mb")
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	if _, err := w.Apply(t.Context(), []sink.Change{c}); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "full") {
		t.Errorf("a full server is answered with %v", err)
	}
	if n := admin.Exists(t.Context(), s.name+":1:0xab01").Val(); n != 0 {
		t.Error("a row is there that is not covered")
	}
	admin.ConfigSet(t.Context(), "maxmemory", "100mb")
	if got := apply(t, w, c); got.Rows != 2 {
		t.Errorf("afterwards: %+v", got)
	}
	sinktest.WantSameDigests(t, w, c.Records...)

	if err := admin.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	apply(t, w, entryOf(t, blocks(10, 20), balance{1, 11, 5})) // the script is loaded again
	if err := admin.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Apply(t.Context(), []sink.Change{c}); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "flushed") {
		t.Errorf("after a flush: %v", err)
	}
}

// A block of more rows than a call takes is interrupted after any of its slices,
// and continues in another writer.
func TestLargeBlocksAreInterrupted(t *testing.T) {
	t.Parallel()
	for _, structure := range []config.Structure{config.Hash, config.Stream} {
		t.Run(string(structure), func(t *testing.T) {
			s := newServer(t)
			key := "{table}:{block_num}:{balance}"
			if structure == config.Stream {
				key = "{table}"
			}
			cfg, table := s.config(structure, key), balanceTable(s)
			var rows []balance
			for i := range int64(20_000) {
				rows = append(rows, balance{1, 7, i})
			}
			c := entryOf(t, blocks(0, 10), rows...)
			for i := range 12 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(10*i)*time.Millisecond)
				_, err := open(t, cfg, table).Apply(ctx, []sink.Change{c})
				cancel()
				if err == nil {
					break
				}
			}
			w := open(t, cfg, table)
			apply(t, w, c)
			sinktest.WantSameDigests(t, w, c.Records...)
			if structure == config.Stream {
				if n := s.XLen(context.Background(), s.name).Val(); n != int64(len(rows)) {
					t.Errorf("%d entries, want %d", n, len(rows))
				}
			}
			state, err := w.State(t.Context())
			if err != nil || !slices.Equal(state.Coverage.Ranges(), []block.Range{blocks(0, 10)}) {
				t.Errorf("state %+v, %v", state, err)
			}
		})
	}
}

// A Cluster is not taken for a single server, nor the state of one for that of the
// other.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := newCluster(t)
	cfg, table := s.config(config.Hash, "{table}:{block_num}:{address}"), balanceTable(s)
	cfg.Cluster = false
	url, _, _ := strings.Cut(s.url, "?")
	cfg.URL = config.Secret(url)
	if err := redis.New(cfg).Open(t.Context(), table); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "cluster: true") {
		t.Errorf("a cluster that is not said to be one: %v", err)
	}
	cfg.Cluster, cfg.URL = true, config.Secret(s.url)
	state := "ampipe:{" + s.name + "}:s:state"
	s.HSet(t.Context(), state, "format", "1")
	if err := redis.New(cfg).Open(t.Context(), table); fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "written with cluster: false") {
		t.Errorf("the state of a single server: %v", err)
	}
	s.Del(t.Context(), state)
	for _, key := range []string{cfg.Key, "{{" + s.name + "}}:{table}:{block_num}:{address}"} { // also all in one slot
		table.Sink += "x"
		cfg.Key = key
		w := open(t, cfg, table)
		l := &live{seq: 1}
		c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
		apply(t, w, c, l.next(entryOf(t, blocks(10, 12), balance{3, 11, 1})), l.undo(10, 11))
		sinktest.WantSameDigests(t, w, c.Records...)
	}
}
