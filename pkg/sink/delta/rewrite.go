package delta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// Tags of our files: the lowest and the highest block that has a row in them.
const (
	tagMinBlock = "ampipe.minBlock"
	tagMaxBlock = "ampipe.maxBlock"
)

func blockTags(r block.Range) map[string]string {
	return map[string]string{tagMinBlock: strconv.FormatUint(uint64(r.Start), 10), tagMaxBlock: strconv.FormatUint(uint64(r.Last()), 10)}
}

// blocksOf returns a range that all rows of a file are in: from its tags, or from
// the statistics of the block column that its writer left. Without either
// the rows may be of any block.
func (g *target) blocksOf(a *deltalog.Add) block.Range {
	if r, ok := closed(a.Tags[tagMinBlock], a.Tags[tagMaxBlock]); ok {
		return r
	}
	stats := a.ParseStats()
	low, _ := stats.MinValues[g.blockName].(json.Number)
	high, _ := stats.MaxValues[g.blockName].(json.Number)
	if r, ok := closed(string(low), string(high)); ok {
		return r
	}
	if at := a.PartitionValues[g.blockName]; at != nil && slices.Contains(g.names, g.blockName) {
		if r, ok := closed(*at, *at); ok {
			return r
		}
	}
	return block.Range{End: block.Max + 1}
}

func closed(from, to string) (block.Range, bool) {
	low, errLow := strconv.ParseUint(from, 10, 63)
	high, errHigh := strconv.ParseUint(to, 10, 63)
	return block.Closed(block.Number(low), block.Number(high)), errLow == nil && errHigh == nil
}

// partitionFor returns the partition of a file in the log.
func (g *target) partitionFor(a *deltalog.Add) partition {
	p := make(partition, len(g.names))
	for i, name := range g.names {
		if v := a.PartitionValues[name]; v != nil && *v != "" {
			p[i] = v
		}
	}
	return p
}

// rewrite is what becomes of a file of the table that loses rows.
type rewrite struct {
	rest    *stagedFile // nil: nothing is left
	deleted uint64
}

func (r *rewrite) drop() {
	if r.rest != nil {
		r.rest.drop()
	}
}

// without writes a file anew that lacks the rows of some blocks. It returns nil if
// no row is left, and how many went.
func (g *target) without(
	ctx context.Context, from parquet.ReaderAtSeeker, p partition, gone block.Set,
) (_ *stagedFile, deleted uint64, err error) {
	f, err := g.newFile(p)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.drop()
		}
	}()
	err = g.readRows(ctx, from, p, func(rec arrow.RecordBatch, blocks sink.Blocks) error {
		for at := 0; at < blocks.Len(); {
			end := at + 1
			keep := !gone.Has(blocks.At(at))
			for end < blocks.Len() && (blocks.At(end) == blocks.At(end-1) || gone.Has(blocks.At(end)) != keep) {
				end++
			}
			if !keep {
				deleted += uint64(end - at)
			} else if err := g.addSlice(f, rec, p, at, end); err != nil {
				return err
			}
			at = end
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if f.rows == 0 {
		f.drop()
		return nil, deleted, nil
	}
	rest, err := f.finish()
	return rest, deleted, err
}

func (g *target) addSlice(f *parquetWriter, rec arrow.RecordBatch, p partition, from, to int) error {
	some := rec.NewSlice(int64(from), int64(to))
	defer some.Release()
	blocks, err := g.numbers(some, p)
	if err != nil {
		return err
	}
	return f.add(some, blocks)
}

var errNoBlock = fault.Permanent(errors.New("a file of the table holds rows whose block column is NULL or negative; " +
	"ampipe did not write them: remove them, or load into another table"))

// numbers reads the block numbers of a record of a file.
func (g *target) numbers(rec arrow.RecordBatch, p partition) (sink.Blocks, error) {
	if g.blockFile >= 0 {
		blocks, err := sink.BlocksOf(rec, g.blockFile)
		if err != nil {
			return blocks, errors.Join(errNoBlock, err)
		}
		return blocks, nil
	}
	for i, name := range g.names {
		if name == g.blockName && p[i] != nil {
			n, err := strconv.ParseInt(*p[i], 10, 64)
			if err != nil || n < 0 {
				return sink.Blocks{}, fmt.Errorf("partition %s: %w", strings.TrimSuffix(p.folder(g.names), "/"), errNoBlock)
			}
			same := longs(slices.Repeat([]int64{n}, int(rec.NumRows())))
			defer same.Release()
			only := arrow.NewSchema([]arrow.Field{{Name: "block", Type: same.DataType()}}, nil)
			constant := array.NewRecordBatch(only, []arrow.Array{same}, rec.NumRows())
			defer constant.Release()
			return sink.BlocksOf(constant, 0)
		}
	}
	return sink.Blocks{}, errNoBlock
}
