package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// destination is the rows of one sink for the suite. Its pipeline has a name of
// its own, so that destinations share a server.
type destination struct {
	*server
	cfg config.Redis
}

// renamed opens the suite's table under another pipeline.
type renamed struct {
	*redis.Writer
	pipeline string
}

func (r renamed) Open(ctx context.Context, t sink.Table) error {
	t.Pipeline = r.pipeline
	return r.Writer.Open(ctx, t)
}

// structures are those that a run of the suite is about. Where rows have no key,
// equal ones are kept, which a stream or a list can do; where the key is not the
// whole row, a row replaces another, which a set cannot do.
type structures struct{ appended, byBlock, across config.Structure }

// open returns a destination on a single server.
func (k structures) open(server *server, s sinktest.Setup) sinktest.Destination {
	d := k.on(server, s).(*destination)
	if !k.byBlock.Keyed() && d.cfg.Structure == k.appended { // one key for all is in the other runs
		d.cfg.Key = "{table}:{log_index}"
	}
	return d
}

// spread returns one in the Cluster, with several keys where one would do.
func (k structures) spread(t testing.TB, s sinktest.Setup) sinktest.Destination {
	d := k.on(newCluster(t), s).(*destination)
	if d.cfg.Key == "{table}" {
		d.cfg.Key = "{table}:{log_index}"
	}
	return d
}

// on returns a destination on a server.
func (k structures) on(d *server, s sinktest.Setup) sinktest.Destination {
	structure, key := k.appended, "{table}"
	if len(s.Key) == 1 {
		structure = k.across
	} else if len(s.Key) > 1 {
		structure = k.byBlock
	}
	if structure.Keyed() {
		for _, c := range s.Key {
			key += ":{" + c + "}"
		}
	}
	return &destination{d, d.config(structure, key)}
}

func (d *destination) Writer(testing.TB) sink.Writer {
	return renamed{redis.New(d.cfg), d.name}
}

func (d *destination) Rows(ctx context.Context) ([]sinktest.Row, error) {
	var rows []sinktest.Row
	fields := func(m map[string]string) error {
		n, err := strconv.ParseUint(m["block_num"], 10, 64)
		if err != nil {
			return err
		}
		index, err := strconv.ParseInt(m["log_index"], 10, 32)
		if err != nil {
			return err
		}
		value, err := strconv.ParseInt(m["value"], 10, 64)
		rows = append(rows, sinktest.Row{Key: m["key"], Block: block.Number(n), Index: int32(index), Value: value})
		return err
	}
	document := func(texts ...string) error {
		for _, text := range texts {
			var r struct {
				Key   string       `json:"key"`
				Block block.Number `json:"block_num"`
				Index int32        `json:"log_index"`
				Value int64        `json:"value"`
			}
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return err
			}
			rows = append(rows, sinktest.Row{Key: r.Key, Block: r.Block, Index: r.Index, Value: r.Value})
		}
		return nil
	}
	read := func(node *driver.Client, key string) error {
		switch d.cfg.Structure {
		case config.Set:
			all, err := node.SMembers(ctx, key).Result()
			if err != nil {
				return err
			}
			return document(all...)
		case config.SortedSet:
			all, err := node.ZRangeWithScores(ctx, key, 0, -1).Result()
			if err != nil {
				return err
			}
			for _, z := range all {
				if err := document(z.Member.(string)); err != nil {
					return err
				}
				if got := rows[len(rows)-1].Block; float64(got) != z.Score {
					return fmt.Errorf("a row of block %d has the score %v", got, z.Score)
				}
			}
			return nil
		case config.List:
			all, err := node.LRange(ctx, key, 0, -1).Result()
			if err != nil {
				return err
			}
			return document(all...)
		default:
			all, err := node.XRange(ctx, key, "-", "+").Result()
			if err != nil {
				return err
			}
			for _, m := range all {
				texts := make(map[string]string)
				for name, v := range m.Values {
					texts[name] = v.(string)
				}
				if err := fields(texts); err != nil {
					return err
				}
			}
			return nil
		}
	}
	err := d.nodes(func(node *driver.Client) error {
		if d.cfg.Structure.Keyed() {
			return d.readKeyed(ctx, node, fields, document)
		}
		keys, err := keysOf(node, d.name+"*")
		for _, key := range keys {
			err = errors.Join(err, read(node, key))
		}
		return err
	})
	return rows, err
}

// readKeyed reads all hashes or documents of a server.
func (d *destination) readKeyed(ctx context.Context, node *driver.Client, fields func(map[string]string) error, document func(...string) error) error {
	// All keys at one moment: the suite compares them with the coverage.
	const script = `local out = {}
		for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
			out[#out + 1] = redis.call(ARGV[2], key)
		end
		return out`
	read := map[config.Structure]string{config.Hash: "HGETALL", config.String: "GET", config.JSON: "JSON.GET"}[d.cfg.Structure]
	all, err := node.Eval(ctx, script, nil, d.name+":*", read).Slice()
	if err != nil {
		return err
	}
	for _, one := range all {
		if text, ok := one.(string); ok {
			err = document(text)
		} else {
			pairs, m := one.([]any), make(map[string]string)
			for i := 0; i < len(pairs); i += 2 {
				m[pairs[i].(string)] = pairs[i+1].(string)
			}
			err = fields(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Kill cuts every connection but the test's own.
func (d *destination) Kill(t testing.TB) {
	err := d.nodes(func(node *driver.Client) error {
		return node.Do(context.Background(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
	})
	if err != nil {
		t.Errorf("kill: %v", err)
	}
}

// Obstruct puts something else under the key of a row. Where all rows are under one key
// that would be in the way of every other.
func (d *destination) Obstruct(t testing.TB, row sinktest.Row) (lift func()) {
	names := strings.NewReplacer("{table}", d.name, "{block_num}", fmt.Sprint(row.Block), "{log_index}", fmt.Sprint(row.Index))
	key, ctx := names.Replace(d.cfg.Key), context.Background()
	if key == d.name || d.Exists(ctx, key).Val() > 0 {
		return nil
	}
	other := func() error { return d.Set(ctx, key, "theirs", 0).Err() }
	if d.cfg.Structure == config.String {
		other = func() error { return d.RPush(ctx, key, "theirs").Err() }
	}
	if err := other(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if d.Del(ctx, key).Val() != 1 {
			t.Errorf("the key %s of somebody else is gone", key)
		}
	}
}

func (d *destination) Refused() (sinktest.Row, string) {
	return sinktest.Row{Key: "a\xff"}, "key"
}

// The suite on a single server, and in a Cluster, where rows are in many slots, each with
// other structures. What writes them concurrently is the same for every structure, so
// these two are those under the race detector.
func TestSuite(t *testing.T) {
	t.Parallel()
	structures{config.Stream, config.Hash, config.Hash}.alone(t, sinktest.Run)
}

func TestSuiteInACluster(t *testing.T) {
	sinktest.Run(t, structures{config.List, config.Set, config.String}.spread)
}

// The other structures, in every way to write that the two tests above leave out.
func TestSuiteOfOtherStructures(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*testing.T){
		"list and string": func(t *testing.T) { structures{config.List, config.String, config.String}.alone(t, sinktest.Run) },
		"list and set": func(t *testing.T) {
			structures{appended: config.List, byBlock: config.Set}.alone(t, sinktest.RunByBlock)
		},
		"stream, sorted sets": func(t *testing.T) {
			structures{appended: config.Stream, byBlock: config.SortedSet}.alone(t, sinktest.RunByBlock)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

func TestSuiteOfOtherStructuresInACluster(t *testing.T) {
	sinktest.Run(t, structures{config.Stream, config.Hash, config.Hash}.spread)
}

// alone runs the suite on a server of its own: the suite cuts all its connections, and
// looks through all its keys.
func (k structures) alone(t *testing.T, run func(*testing.T, sinktest.Open)) {
	url := private(t)
	run(t, func(t testing.TB, s sinktest.Setup) sinktest.Destination { return k.open(serverAt(t, url), s) })
}

func BenchmarkSuite(b *testing.B) {
	k := structures{config.Stream, config.Hash, config.Hash}
	sinktest.Bench(b, func(t testing.TB, s sinktest.Setup) sinktest.Destination { return k.open(newServer(t), s) })
}
