package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// indexed is an entry of the index.
type indexed struct {
	place       string // where the state is that knows it
	block       block.Number
	key, member string
	hash        string // of the row as it was written; only if keys expire
}

// How much is read at a time.
const (
	lookups = 500 // rows
	indexes = 256 // indexes: in a Cluster each slot has one
	atOnce  = 64  // entries of each of them
)

// DigestStored reads the rows of the blocks of r by way of the index; see
// [sink.Digester]. With a ttl, a row whose key is gone counts as it was written:
// it has expired, which is not a difference. Blocks whose index was dropped
// (finality), and those with a row that the server refuses to return, are in the
// [*sink.UnreadableError] that is returned.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	if w.client == nil {
		return errNotOpen
	}
	if r.Empty() {
		return nil
	}
	var unreadable sink.UnreadableError
	if err := w.digestStored(ctx, r, into, &unreadable); err != nil {
		return w.classed(ctx, "read rows", err)
	}
	return unreadable.OrNil()
}

func (w *Writer) digestStored(ctx context.Context, r block.Range, into sink.Digests, unreadable *sink.UnreadableError) error {
	l, err := w.readCommitState(ctx)
	if err != nil {
		return err
	}
	if l.floor > r.Start {
		below := r.Intersect(block.Range{End: l.floor})
		unreadable.Add(below, fault.Permanent(fmt.Errorf("the index of blocks below %d was dropped (finality: %d), so they cannot "+
			"be verified; verify from there on", l.floor, w.target.Finality)))
		r.Start = below.End
		if r.Empty() {
			return nil
		}
	}
	d := &storedDigest{Writer: w, into: into, unreadable: unreadable, seen: make(map[string]bool), lists: make(map[string]map[string]int)}
	if err := w.readIndex(ctx, w.places(l), r, d.entries); err != nil {
		return err
	}
	return d.read(ctx)
}

// places returns the prefixes of the states that know of rows.
func (w *Writer) places(l *commitState) []string {
	if !w.target.Cluster {
		return []string{w.target.Prefix()}
	}
	var places []string
	for slot := range l.Slots.Each {
		places = append(places, strings.TrimSuffix(w.cluster.StateOf(slot), "state"))
	}
	return places
}

// eachIndexed is called with rows of the index, and the range of blocks that they are all of.
type eachIndexed func(context.Context, []indexed, block.Range) error

// readIndex reads the entries of the indexes of some states that may hold rows of the
// blocks of r, and hands the rows of a few of them at a time to each: first nil when a
// state begins. Rows of other blocks are among them.
func (w *Writer) readIndex(ctx context.Context, places []string, r block.Range, each eachIndexed) error {
	for some := range slices.Chunk(places, indexes) {
		if err := w.readIndexes(ctx, some, r, each); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) readIndexes(ctx context.Context, places []string, r block.Range, each eachIndexed) error {
	pipe := w.client.Pipeline()
	before, inside := make([]*redis.StringSliceCmd, len(places)), make([]*redis.StringSliceCmd, len(places))
	next := func(c redis.Cmdable, place, from string) *redis.StringSliceCmd {
		return c.ZRangeByLex(ctx, place+"index", &redis.ZRangeBy{Min: from, Max: "(" + format.HexBlock(r.End), Count: atOnce})
	}
	for i, place := range places {
		before[i] = pipe.ZRevRangeByLex(ctx, place+"index", &redis.ZRangeBy{Min: "[0", Max: "(" + format.HexBlock(r.Start), Count: 1})
		inside[i] = next(pipe, place, "["+format.HexBlock(r.Start))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, place := range places {
		if err := each(ctx, nil, r); err != nil {
			return err
		}
		for some := append(before[i].Val(), inside[i].Val()...); len(some) > 0; {
			rows, err := unpackIndex(w.target, place, some)
			if err != nil {
				return err
			}
			if err := each(ctx, rows, r); err != nil {
				return err
			}
			if len(some) < atOnce {
				break
			}
			if some, err = next(w.client, place, "("+some[len(some)-1]).Result(); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpackIndex returns the rows of entries of an index.
func unpackIndex(g *format.Table, place string, entries []string) ([]indexed, error) {
	var rows []indexed
	stride := g.Stride()
	for _, e := range entries {
		bar := strings.IndexByte(e[min(len(e), 33):], '|')
		if bar < 0 {
			return nil, format.ErrState
		}
		slice, packed := e[33:33+bar], e[34+bar:]
		var n block.Number
		var failed error
		at := 0
		err := format.UnpackTexts([]byte(packed), func(depth int, text string) {
			if depth == 1 {
				n, failed = format.ParseBlock(text)
				at = 0
				return
			}
			switch {
			case at == 0:
				rows = append(rows, indexed{place: place, block: n, key: text})
			case at == stride-1 && g.TTL > 0:
				rows[len(rows)-1].hash = text
			case g.Structure == config.Stream:
				rows[len(rows)-1].member = slice + "-" + text
			default:
				rows[len(rows)-1].member = text
			}
			at = (at + 1) % stride
		})
		if err != nil || failed != nil {
			return nil, format.ErrState
		}
	}
	return rows, nil
}

// storedDigest reads rows that the index names.
type storedDigest struct {
	*Writer
	into       sink.Digests
	unreadable *sink.UnreadableError
	rows       []indexed       // to be read
	seen       map[string]bool // names of rows of the block at hand
	block      block.Number
	lists      map[string]map[string]int // of structure: list, its elements
	buf        []byte
}

// entries reads rows that the index names, as far as they are of blocks of r.
func (d *storedDigest) entries(ctx context.Context, rows []indexed, r block.Range) error {
	if rows == nil {
		clear(d.seen)
	}
	for _, row := range rows {
		if !r.Has(row.block) {
			continue
		}
		if d.target.Named() {
			if row.block != d.block {
				clear(d.seen)
				d.block = row.block
			}
			if name := d.target.Name(row.key, row.member); d.seen[name] {
				continue
			} else {
				d.seen[name] = true
			}
		}
		d.rows = append(d.rows, row)
		if len(d.rows) == lookups {
			if err := d.read(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// read counts those of the rows that are in Redis.
func (d *storedDigest) read(ctx context.Context) error {
	rows := d.rows
	d.rows = d.rows[:0]
	if d.target.Owned {
		shown, err := d.shown(ctx, rows)
		if err != nil {
			return err
		}
		rows = shown
	}
	pipe := d.client.Pipeline()
	found := make([]redis.Cmder, len(rows))
	for i, row := range rows {
		switch d.target.Structure {
		case config.Hash:
			found[i] = pipe.HGetAll(ctx, row.key)
		case config.String:
			found[i] = pipe.Get(ctx, row.key)
		case config.JSON:
			found[i] = pipe.Do(ctx, "JSON.GET", row.key)
		case config.Set:
			found[i] = pipe.SIsMember(ctx, row.key, row.member)
		case config.SortedSet:
			found[i] = pipe.ZScore(ctx, row.key, row.member)
		case config.Stream:
			found[i] = pipe.XRange(ctx, row.key, row.member, row.member)
		default:
			if err := d.list(ctx, row); err != nil {
				return err
			}
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil && !ofKey(err) {
		return err
	}
	for i, row := range rows {
		if d.target.Structure == config.List {
			continue
		}
		if err := found[i].Err(); err != nil && err != redis.Nil {
			if !ofKey(err) {
				return err
			}
			d.refused(row, err)
			continue
		}
		if there := d.pack(row, found[i]); there {
			d.into.Add(row.block, xxh3.Hash(d.buf))
		} else if d.target.TTL > 0 {
			hash, err := strconv.ParseUint(row.hash, 16, 64)
			if err != nil {
				return format.ErrState
			}
			d.into.Add(row.block, hash)
		}
	}
	return nil
}

// shown leaves out rows whose name a higher block has.
func (d *storedDigest) shown(ctx context.Context, rows []indexed) ([]indexed, error) {
	var owners []any
	var asked []*redis.SliceCmd
	pipe := d.client.Pipeline()
	for from, to := 0, 0; from < len(rows); from = to {
		var names []string
		for to = from; to < len(rows) && rows[to].place == rows[from].place; to++ {
			names = append(names, d.target.Name(rows[to].key, rows[to].member))
		}
		asked = append(asked, pipe.HMGet(ctx, rows[from].place+"owners", names...))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for _, some := range asked {
		owners = append(owners, some.Val()...)
	}
	shown := rows[:0]
	for i, owner := range owners {
		if blocks, ok := owner.(string); ok && strings.HasSuffix(blocks, format.HexBlock(rows[i].block)) {
			shown = append(shown, rows[i])
		}
	}
	return shown, nil
}

// pack packs what was found as the source's digest does, and returns false if
// nothing was.
func (d *storedDigest) pack(row indexed, found redis.Cmder) bool {
	g := d.target
	d.buf = format.AppendPacked(format.OpenArray(d.buf[:0]), row.key)
	n := 1
	add := func(text string) { d.buf, n = format.AppendPacked(d.buf, text), n+1 }
	switch cmd := found.(type) {
	case *redis.MapStringStringCmd:
		fields := cmd.Val()
		if len(fields) == 0 {
			return false
		}
		for _, i := range g.Indexes {
			name := g.Schema.Field(i).Name
			if v, ok := fields[name]; ok {
				add(name)
				add(v)
				delete(fields, name)
			}
		}
		for name := range fields { // not ours: the row differs
			add(name)
		}
	case *redis.XMessageSliceCmd:
		if len(cmd.Val()) == 0 {
			return false
		}
		for _, i := range g.Indexes {
			name := g.Schema.Field(i).Name
			if v, ok := cmd.Val()[0].Values[name].(string); ok {
				add(name)
				add(v)
			}
		}
	case *redis.StringCmd:
		if cmd.Err() != nil {
			return false
		}
		add(cmd.Val())
	case *redis.Cmd:
		text, err := cmd.Text()
		if err != nil {
			return false
		}
		add(string(appendRewritten(nil, []byte(text))))
	case *redis.BoolCmd:
		if !cmd.Val() {
			return false
		}
		add(row.member)
	case *redis.FloatCmd:
		if cmd.Err() != nil {
			return false
		}
		add(row.member)
		d.buf, n = format.AppendPacked(d.buf, strconv.FormatFloat(cmd.Val(), 'g', -1, 64)), n+1
	}
	format.CloseArray(d.buf, 0, n)
	return true
}

// list counts an element of a list, each as often as it is there.
func (d *storedDigest) list(ctx context.Context, row indexed) error {
	elements, read := d.lists[row.key]
	if !read {
		elements = make(map[string]int)
		const some = 10_000
		for at := int64(0); ; at += some {
			values, err := d.client.LRange(ctx, row.key, at, at+some-1).Result()
			if ofKey(err) {
				d.refused(row, err)
				return nil
			}
			if err != nil {
				return err
			}
			for _, v := range values {
				elements[v]++
			}
			if len(values) < some {
				break
			}
		}
		d.lists[row.key] = elements
	}
	if elements[row.member] == 0 && d.target.TTL == 0 {
		return nil
	}
	elements[row.member]--
	d.buf = format.AppendPacked(format.AppendPacked(format.OpenArray(d.buf[:0]), row.key), row.member)
	format.CloseArray(d.buf, 0, 2)
	d.into.Add(row.block, xxh3.Hash(d.buf))
	return nil
}
