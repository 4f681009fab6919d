package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// FindExtra looks for rows under the sink's keys that are in no index: see
// [sink.ExtraFinder]. It scans the keys that the pattern can make, with cursors, so
// that the server is never busy for long. First it sums up both sides, which takes a
// fixed amount of memory; only of what differs there it remembers rows. Of a sink that
// is running some rows come and go meanwhile, so it looks several times, and what is
// extra is so in each look.
func (w *Writer) FindExtra(ctx context.Context) (sink.Extras, error) {
	if w.client == nil {
		return sink.Extras{}, errNotOpen
	}
	found, err := w.findExtra(ctx)
	return found, w.classed(ctx, "look for rows that are in no index", err)
}

func (w *Writer) findExtra(ctx context.Context) (sink.Extras, error) {
	s := &search{Writer: w, shape: keyShapeOf(w.target)}
	if err := s.begin(ctx); err != nil {
		return sink.Extras{}, err
	}
	if s.floor > 0 && blockless(w.target) {
		return sink.Extras{}, fault.Permanent(fmt.Errorf("the index of blocks below %d was dropped (finality: %d), and rows do "+
			"not say of which block they are, so none can be told from an extra one", s.floor, w.target.Finality))
	}
	found := sink.Extras{Below: s.floor}
	sums := make([]bucket, buckets)
	err := s.both(ctx, func(r storedRow) {
		found.Looked++
		b := &sums[r.hash.Hi%buckets]
		b.sum, b.stored = b.sum+r.hash.Lo, b.stored+1
	}, func(hash xxh3.Uint128) {
		b := &sums[hash.Hi%buckets]
		b.sum, b.known = b.sum-hash.Lo, b.known+1
	})
	for at := 0; err == nil && at < buckets; {
		var some map[uint64]bool
		some, at = different(sums, at)
		if len(some) > 0 {
			err = s.extraOf(ctx, some, &found)
		}
	}
	return found, err
}

// bucket sums up the rows of both sides whose names share a few bits of their hash.
type bucket struct {
	sum           uint64
	stored, known uint32
}

const (
	buckets    = 1 << 20
	candidates = 500_000 // rows of which names are remembered at a time
	looks      = 6       // a row that a live chain writes and takes back is in few of them

	betweenLooks = 100 * time.Millisecond // a reorg in several steps is over by then
)

// different returns the next buckets that are not the same on both sides, as many as
// can be looked at together, and where the search for more begins.
func different(sums []bucket, at int) (some map[uint64]bool, next int) {
	some = make(map[uint64]bool)
	for rows := 0; at < len(sums) && rows < candidates; at++ {
		if b := sums[at]; b.stored > 0 && (b.sum != 0 || b.stored != b.known) {
			some[uint64(at)] = true
			rows += int(b.stored)
		}
	}
	return some, at
}

// candidate is a row that may be extra.
type candidate struct {
	key           string
	block         block.Number
	stored, known uint64
	rows          uint64 // that are extra
}

// extra returns the number of rows that are too many. One with a name cannot be there
// twice, however often a scan comes across it.
func (c candidate) extra(named bool) uint64 {
	if named {
		if c.known > 0 {
			return 0
		}
		return min(c.stored, 1)
	}
	return c.stored - min(c.stored, c.known)
}

// extraOf adds the extra rows of some buckets.
func (s *search) extraOf(ctx context.Context, some map[uint64]bool, into *sink.Extras) error {
	named := s.target.Named()
	look := func(wanted func(xxh3.Uint128) bool) (map[xxh3.Uint128]candidate, error) {
		all := make(map[xxh3.Uint128]candidate)
		err := s.both(ctx, func(r storedRow) {
			if wanted(r.hash) {
				c := all[r.hash]
				all[r.hash] = candidate{r.key, r.block, c.stored + 1, c.known, 0}
			}
		}, func(hash xxh3.Uint128) {
			if c, ok := all[hash]; ok {
				c.known++
				all[hash] = c
			}
		})
		for hash, c := range all {
			c.rows = c.extra(named)
			if c.rows == 0 {
				delete(all, hash)
				continue
			}
			all[hash] = c
		}
		return all, err
	}
	extra, err := look(func(hash xxh3.Uint128) bool { return some[hash.Hi%buckets] })
	for n := 1; n < looks && err == nil && len(extra) > 0; n++ {
		if err := fault.Sleep(ctx, betweenLooks); err != nil {
			return err
		}
		before := extra
		extra, err = look(func(hash xxh3.Uint128) bool { return before[hash].stored > 0 })
		for hash, c := range extra {
			c.rows = min(c.rows, before[hash].rows)
			extra[hash] = c
		}
	}
	if err != nil || len(extra) == 0 {
		return err
	}
	if err := s.begin(ctx); err != nil { // the floor may have risen
		return err
	}
	into.Below = s.floor
	for _, c := range extra {
		if c.block >= s.floor || s.target.Owned {
			into.Add(c.key, c.rows)
		}
	}
	return nil
}

// search is one look at the rows under the keys and at those that are known.
type search struct {
	*Writer
	shape  keyShape
	places []string
	floor  block.Number // below it only rows of shared names are known
}

// storedRow is a row under a key. Its block is known only if there is a floor.
type storedRow struct {
	hash  xxh3.Uint128 // of its name; of a stream or a list, of all of it that is in the index
	key   string
	block block.Number
}

func (s *search) begin(ctx context.Context) error {
	l, err := s.readCommitState(ctx)
	if err != nil {
		return err
	}
	s.floor, s.places = l.floor, s.Writer.places(l)
	if s.target.Owned {
		s.floor = 0 // who wrote a key is kept for ever
	}
	return nil
}

// both reads the rows that are stored and then those that are known: what is written
// meanwhile is known, if it was seen.
func (s *search) both(ctx context.Context, stored func(storedRow), known func(xxh3.Uint128)) error {
	if err := s.scan(ctx, stored); err != nil {
		return err
	}
	l, err := s.readCommitState(ctx) // slots that are new
	if err != nil {
		return err
	}
	s.places = s.Writer.places(l)
	if s.target.Owned {
		return s.owners(ctx, known)
	}
	return s.readIndex(ctx, s.places, block.Range{Start: 0, End: block.Max + 1}, func(_ context.Context, rows []indexed, _ block.Range) error {
		for _, r := range rows {
			if r.block >= s.floor {
				known(s.hash(r.key, r.member))
			}
		}
		return nil
	})
}

// owners hands out the names of rows that blocks share.
func (s *search) owners(ctx context.Context, known func(xxh3.Uint128)) error {
	for _, place := range s.places {
		err := scanned(ctx, s.client.HScan(ctx, place+"owners", 0, "", scanCount), 2, func(name string) error {
			known(xxh3.HashString128(name))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hash returns the hash of what an index has of a row.
func (s *search) hash(key, member string) xxh3.Uint128 {
	if s.target.Named() {
		return xxh3.HashString128(s.target.Name(key, member))
	}
	return xxh3.HashString128(strconv.Itoa(len(key)) + ":" + key + member)
}

// blockless reports whether neither the key of a row nor the row says of which block
// it is.
func blockless(g *format.Table) bool {
	return !slices.Contains(g.Indexes, g.Block) && !slices.Contains(g.Pattern.Indexes, g.Block)
}

// blockIn returns the block that a document says it is of, as it is written there.
func blockIn(g *format.Table, document string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(document), &fields) != nil {
		return ""
	}
	return string(fields[g.Schema.Field(g.Block).Name])
}
