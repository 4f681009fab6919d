package pipeline

import (
	"context"
	"errors"
	"maps"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// knownLetters is how many dead letters a sink has of each row, by block and by the content
// of the row.
type knownLetters map[block.Number]map[string]int

// readLetters reads the dead letters of all sinks, by the names of the sinks.
func readLetters(ctx context.Context, conn *natsConn, p *config.Pipeline) (map[string]knownLetters, error) {
	all := map[string]knownLetters{}
	for _, name := range sinkNames(p) {
		stored, err := conn.DeadLetters(ctx, p.Name, name, 0)
		if errors.Is(err, queue.ErrNoStream) {
			continue
		}
		if err != nil {
			return nil, err
		}
		known := knownLetters{}
		err = stored.Each(ctx, block.Range{End: block.Max}, func(l queue.StoredLetter) error {
			if known[l.Block] == nil {
				known[l.Block] = map[string]int{}
			}
			known[l.Block][deadletter.ContentOf(l.ID)]++
			return nil
		})
		if err != nil {
			return nil, err
		}
		all[name] = known
	}
	return all, nil
}

// withoutLetters is a writer whose source is digested without the rows that are dead
// letters: its destination is not to hold them, and perhaps could not say how.
type withoutLetters struct {
	sink.Writer
	column  int // of the block number
	letters knownLetters
	left    map[block.Number]int // rows that the last digest of a block has left out
}

func (w *withoutLetters) DigestSource() sink.SourceDigest {
	return &lettersDigest{of: w, SourceDigest: w.Writer.DigestSource(), rest: knownLetters{}}
}

// lettersDigest is one digest. A row that comes more often than it has letters is left out
// as often as it has.
type lettersDigest struct {
	of *withoutLetters
	sink.SourceDigest
	rest knownLetters // that were not found yet, of blocks that have come
}

func (d *lettersDigest) Add(rec arrow.RecordBatch) error {
	blocks, err := sink.BlocksOf(rec, d.of.column)
	if err != nil {
		return err
	}
	var rows *deadletter.Rows
	from := 0
	for i := range blocks.Len() {
		n := blocks.At(i)
		letters, some := d.of.letters[n]
		if !some {
			continue
		}
		if d.rest[n] == nil {
			d.rest[n] = maps.Clone(letters)
			d.of.left[n] = 0
		}
		if rows == nil {
			bound := deadletter.RowsOf(rec)
			rows = &bound
		}
		content := rows.Content(i)
		if d.rest[n][content] == 0 {
			continue
		}
		d.rest[n][content]--
		d.of.left[n]++
		err := d.add(rec, from, i)
		if err != nil {
			return err
		}
		from = i + 1
	}
	return d.add(rec, from, blocks.Len())
}

// add digests the rows [from, to) of a record.
func (d *lettersDigest) add(rec arrow.RecordBatch, from, to int) error {
	if from == to {
		return nil
	}
	some := rec.NewSlice(int64(from), int64(to))
	defer some.Release()
	return d.SourceDigest.Add(some)
}

// compareLetters compares blocks that differ without their dead letters with all rows of
// the source: a row may have got in after it was put aside.
func (v *verification) compareLetters(ctx context.Context, w *withoutLetters) error {
	if !w.Windowed() {
		return nil
	}
	var left []Difference
	for _, difference := range v.found.Differences {
		has := false
		for n := range w.letters {
			has = has || difference.Blocks.Has(n)
		}
		if !has || difference.Reason != nil {
			left = append(left, difference)
			continue
		}
		found, err := v.compareRange(ctx, w.Writer, difference.Blocks)
		if err != nil {
			return err
		}
		if len(found.Differences) > 0 {
			left = append(left, difference)
			continue
		}
		v.stale.Add(difference.Blocks)
	}
	v.found.Differences = left
	return nil
}

// reportLetters prints what the dead letters of a sink explain.
func (v *verification) reportLetters(w *withoutLetters) {
	rows, blocks := 0, 0
	for n, left := range w.left {
		if left > 0 && !v.stale.Has(n) {
			rows, blocks = rows+left, blocks+1
		}
	}
	if rows > 0 {
		v.say("%s of %s %s, and not in the destination; `ampipe dlq list` shows why",
			counted(rows, "row"), counted(blocks, "block"), map[bool]string{true: "is a dead letter", false: "are dead letters"}[rows == 1])
	}
	if n := v.stale.Len(); n > 0 {
		v.say("blocks %v hold all of their rows, also those that are dead letters: these letters are out of date", v.stale)
	}
}
