package table

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// OpenParquet makes a dataset of a folder with one folder of Parquet files per
// table. Ranges and hashes come from Amp's own metadata in the files if they
// have any; else the range is that of the block column and network names it.
// An empty network is taken from the metadata. Files stay on disk: their row
// groups are read when a query wants them, and the last ones used are kept.
func OpenParquet(ref Ref, dir, network string) (*Dataset, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open dataset %s: %w", ref.Name, err)
	}
	d := &Dataset{Ref: ref, Network: network, Tables: map[string]*Table{}}
	groups := newCache(cacheBytes)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		t, found, err := openTable(entry.Name(), filepath.Join(dir, entry.Name()), d.Network, groups)
		if err != nil {
			return nil, fmt.Errorf("open table %s.%s: %w", ref.Name, entry.Name(), err)
		}
		if d.Network == "" {
			d.Network = found
		}
		d.Tables[t.Name] = t
	}
	if len(d.Tables) == 0 {
		return nil, fmt.Errorf("open dataset %s: no folder of Parquet files in %s", ref.Name, dir)
	}
	d.LinkHeaders()
	return d, nil
}

// LinkHeaders lets the stored tables of a dataset find block hashes in its
// blocks table, if there is one, and be streamed along it.
func (d *Dataset) LinkHeaders() {
	blocks := d.Tables["blocks"]
	if blocks == nil {
		return
	}
	find := func(n block.Number) (block.Hash, time.Time, bool) { return findHeader(blocks.Source, n) }
	chain := &storedChain{blocks: blocks.Source}
	for _, t := range d.Tables {
		if s, isStored := t.Source.(*Stored); isStored {
			s.Headers = find
			t.Chain = chain
		}
	}
}

func findHeader(blocks Source, n block.Number) (hash block.Hash, at time.Time, found bool) {
	schema := blocks.Schema()
	columns := slices.Concat(schema.FieldIndices("hash"), schema.FieldIndices("timestamp"))
	if len(columns) != 2 {
		return hash, at, false
	}
	for batch, err := range blocks.Snapshot().Scan(context.Background(), block.Closed(n, n), columns) {
		if err != nil {
			return hash, at, false
		}
		defer batch.Release()
		hashes, isHash := batch.Column(0).(*array.FixedSizeBinary)
		times, isTime := batch.Column(1).(*array.Timestamp)
		if isHash && isTime && len(hashes.Value(0)) == len(hash) {
			unit := times.DataType().(*arrow.TimestampType).Unit
			return block.Hash(hashes.Value(0)), times.Value(0).ToTime(unit), true
		}
	}
	return hash, at, false
}

// parquetFile is a file and the range of blocks that it holds.
type parquetFile struct {
	path   string
	schema *arrow.Schema
	chunks []Chunk
	seg    amp.Range
	linked bool // seg has hashes, from Amp's metadata
	// numbers are the columns that are equal to the block column in every row.
	numbers []string
}

// openTable opens the files of a folder; it returns the network that they name,
// if any.
func openTable(name, dir, network string, groups *cache) (*Table, string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		return nil, "", err
	}
	if len(paths) == 0 {
		return nil, "", fmt.Errorf("no *.parquet file in %s", dir)
	}
	var files []parquetFile
	for _, path := range paths {
		f, err := openFile(path, groups)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if len(files) > 0 && !f.schema.Equal(files[0].schema) {
			return nil, "", fmt.Errorf("%s and %s have different schemas", filepath.Base(path), filepath.Base(files[0].path))
		}
		files = append(files, f)
	}
	schema := files[0].schema
	visible, chain := link(files)
	if visible == nil {
		return NewTable(name, NewStored(schema, nil, nil)), "", nil
	}
	if visible.Network == "" {
		visible.Network = network
	}
	if visible.Network == "" {
		return nil, "", errors.New("its files do not name a network: give one")
	}
	if !chain[0].linked {
		visible.Hash, visible.HasPrev = standIn(visible.Network, visible.Numbers.Last()), true
		if visible.Numbers.Start > 0 {
			visible.Prev = standIn(visible.Network, visible.Numbers.Start-1)
		}
	}
	numbers := slices.Clone(chain[0].numbers)
	var chunks []Chunk
	for _, f := range chain {
		chunks = append(chunks, f.chunks...)
		numbers = slices.DeleteFunc(numbers, func(name string) bool { return !slices.Contains(f.numbers, name) })
	}
	t := NewTable(name, NewStored(schema, visible, chunks))
	t.Numbers = append(t.Numbers, numbers...)
	t.Sorted = slices.Clone(t.Numbers)
	if chain[0].linked && schema.HasField("timestamp") {
		t.Sorted = append(t.Sorted, "timestamp") // declared so by a real server (AP 4.5)
	}
	return t, visible.Network, nil
}

// link follows the files from the earliest on as long as each begins where the
// one before it ended: by hash where files have one (AP 2, visible range). What
// comes after a hole is not visible.
func link(files []parquetFile) (*amp.Range, []parquetFile) {
	files = slices.DeleteFunc(files, func(f parquetFile) bool { return f.seg.Numbers.Empty() })
	slices.SortFunc(files, func(a, b parquetFile) int {
		return cmp.Or(cmp.Compare(a.seg.Numbers.Start, b.seg.Numbers.Start), strings.Compare(a.path, b.path))
	})
	var visible *amp.Range
	var chain []parquetFile
	for _, f := range files {
		if visible == nil {
			whole := f.seg
			visible, chain = &whole, append(chain, f)
			continue
		}
		if f.seg.Numbers.Start < visible.Numbers.End || (f.linked && f.seg.Prev != visible.Hash) {
			continue
		}
		visible.Numbers.End, visible.Hash, visible.Timestamp = f.seg.Numbers.End, f.seg.Hash, f.seg.Timestamp
		chain = append(chain, f)
	}
	return visible, chain
}

// writerMetadata is what an Amp server writes into the footer of its files,
// under the key nozzle_metadata.
type writerMetadata struct {
	Ranges []struct {
		Numbers struct {
			Start, End block.Number
		}
		Network   string
		Hash      block.Hash
		PrevHash  block.Hash `json:"prev_hash"`
		Timestamp int64
	}
}

func openFile(path string, groups *cache) (parquetFile, error) {
	f := parquetFile{path: path}
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return f, err
	}
	defer r.Close()
	arrows, err := openArrow(r)
	if err != nil {
		return f, err
	}
	stored, err := arrows.Schema()
	if err != nil {
		return f, err
	}
	f.schema = plainSchema(stored)
	for _, name := range []string{"block_num", "slot"} {
		if f.schema.HasField(name) {
			f.numbers = append(f.numbers, name)
		}
	}
	var all block.Range
	for group := range r.NumRowGroups() {
		blocks, equal, err := groupBlocks(arrows, f.schema, group, f.numbers)
		if err != nil {
			return f, err
		}
		f.numbers = equal
		if all.Empty() {
			all = blocks
		} else if blocks.Start < all.Last() {
			return f, errUnsorted
		}
		all.End = max(all.End, blocks.End)
		f.chunks = append(f.chunks, Chunk{
			Blocks: blocks, Rows: uint64(r.MetaData().RowGroup(group).NumRows()),
			Load: func(ctx context.Context, columns []int) ([]arrow.RecordBatch, error) {
				return groups.get(ctx, groupKey{path, group}, columns, func(ctx context.Context) ([]arrow.RecordBatch, error) {
					return readGroup(ctx, path, f.schema, group)
				})
			},
		})
	}
	f.seg.Numbers = all
	if text := r.MetaData().KeyValueMetadata().FindValue("nozzle_metadata"); text != nil {
		if err := f.readMetadata(*text); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *parquetFile) readMetadata(text string) error {
	var m writerMetadata
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("read nozzle_metadata: %w", err)
	}
	if len(m.Ranges) != 1 {
		return fmt.Errorf("read nozzle_metadata: %d ranges, want one", len(m.Ranges))
	}
	r := m.Ranges[0]
	f.linked = true
	f.seg = amp.Range{
		Network: r.Network, Numbers: block.Closed(r.Numbers.Start, r.Numbers.End),
		Hash: r.Hash, Prev: r.PrevHash, HasPrev: true,
	}
	if r.Timestamp > 0 {
		f.seg.Timestamp = time.Unix(r.Timestamp, 0).UTC()
	}
	return nil
}
