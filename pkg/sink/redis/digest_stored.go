package redis

import (
	"context"
	"fmt"
	"maps"
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
			"be verified; verify from there on; %w", l.floor, w.target.Finality, sink.ErrNotRemovable)))
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
		if texts := d.textsOf(row, found[i]); len(texts) > 0 {
			d.count(row, texts...)
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

// count adds a row that consists of its key and texts, packed as the source's digest does.
func (d *storedDigest) count(row indexed, texts ...string) {
	d.buf = format.AppendPacked(format.OpenArray(d.buf[:0]), row.key)
	for _, text := range texts {
		d.buf = format.AppendPacked(d.buf, text)
	}
	format.CloseArray(d.buf, 0, 1+len(texts))
	d.into.Add(row.block, xxh3.Hash(d.buf))
}

// textsOf returns what was found of a row, nothing if it is not there.
func (d *storedDigest) textsOf(row indexed, found redis.Cmder) (texts []string) {
	if found.Err() != nil {
		return nil
	}
	fields := func(value func(name string) (string, bool)) {
		for _, i := range d.target.Indexes {
			name := d.target.Schema.Field(i).Name
			if v, ok := value(name); ok {
				texts = append(texts, name, v)
			}
		}
	}
	switch cmd := found.(type) {
	case *redis.MapStringStringCmd:
		left := cmd.Val()
		fields(func(name string) (string, bool) {
			v, ok := left[name]
			delete(left, name)
			return v, ok
		})
		return slices.AppendSeq(texts, maps.Keys(left)) // not ours: the row differs
	case *redis.XMessageSliceCmd:
		for _, message := range cmd.Val() {
			fields(func(name string) (string, bool) {
				v, ok := message.Values[name].(string)
				return v, ok
			})
		}
	case *redis.StringCmd:
		return []string{cmd.Val()}
	case *redis.Cmd:
		if text, err := cmd.Text(); err == nil {
			return []string{string(appendRewritten(nil, []byte(text)))}
		}
	case *redis.BoolCmd:
		if cmd.Val() {
			return []string{row.member}
		}
	case *redis.FloatCmd:
		return []string{row.member, strconv.FormatFloat(cmd.Val(), 'g', -1, 64)}
	}
	return texts
}

// refused notes that a row of a block cannot be read.
func (d *storedDigest) refused(row indexed, err error) {
	d.unreadable.Add(block.Closed(row.block, row.block), fault.Permanent(fmt.Errorf("key %q: %w", fault.Shorten(row.key, 100), err)))
}

// list counts an element of a list, each as often as it is there.
func (d *storedDigest) list(ctx context.Context, row indexed) error {
	elements, read := d.lists[row.key]
	if !read {
		elements = make(map[string]int)
		err := elementsOf(ctx, d.client, row.key, 10_000, func(element string) error {
			elements[element]++
			return nil
		})
		if ofKey(err) {
			d.refused(row, err)
			return nil
		}
		if err != nil {
			return err
		}
		d.lists[row.key] = elements
	}
	if elements[row.member] == 0 && d.target.TTL == 0 {
		return nil
	}
	elements[row.member]--
	d.count(row, row.member)
	return nil
}
