package delta

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/parquetfile"
)

// target is the table as it should be. It is known without a look at storage, and
// not changed after it was made.
type target struct {
	app        string // of our transactions
	table      sink.Table
	columns    []column      // of the table, partition columns included
	stored     []int         // those in the files, indices into columns
	file       *arrow.Schema // of the files
	blockName  string
	blockFile  int      // index of the block column in the files, -1 if it is a partition column
	partitions []int    // indices into columns
	names      []string // of the partition columns
	dropped    []string // columns of the query that the table lacks
	properties *parquet.WriterProperties
	layout     *parquetfile.Layout // of the files; nil: they have nested columns or dictionaries

	fileSize  int64
	spool     string
	overwrite bool
	longest   longest // names in the storage
}

// newTarget returns the table, or an error that names everything that is wrong with it.
func newTarget(cfg config.Delta, t sink.Table) (*target, error) {
	if t.BlockColumn < 0 || t.BlockColumn >= t.Schema.NumFields() {
		return nil, fault.Permanent(fmt.Errorf("the query gives %d columns, and none is the block column; name it in the query, "+
			"or set source.block_column", t.Schema.NumFields()))
	}
	g := &target{app: appID(t.Pipeline, t.Sink), table: t, blockName: t.Schema.Field(t.BlockColumn).Name,
		fileSize: cfg.TargetFileSize, spool: cfg.Spool, overwrite: cfg.Overwrite}
	var err error
	if g.columns, g.dropped, err = columnsOf(t.Schema, t.BlockColumn); err != nil {
		return nil, err
	}
	wrong := []error{g.divide(cfg.PartitionBy)}
	g.layOut()
	var compression error
	g.properties, compression = g.writerProperties(cfg)
	if err := errors.Join(append(wrong, compression)...); err != nil {
		return nil, fault.Permanent(err)
	}
	if parquetfile.Fits(g.file.Fields(), g.properties) {
		if g.layout, err = parquetfile.NewLayout(g.file, g.properties); err != nil {
			return nil, fault.Permanent(err)
		}
	}
	return g, nil
}

// divide finds the partition columns, and adds those of buckets.
func (g *target) divide(by []config.Partition) error {
	var wrong []error
	for _, p := range by {
		at := slices.IndexFunc(g.columns, func(c column) bool { return c.field.Name == p.Column && c.bucket == 0 })
		switch {
		case at < 0:
			wrong = append(wrong, fmt.Errorf("partition_by names column %q, and the query gives only %q", p.Column, g.columnNames()))
			continue
		case p.Bucket == 0:
			wrong = append(wrong, checkPartitioned(g.columns[at].field))
		default:
			source := g.table.Schema.Field(g.columns[at].source)
			_, convert, err := blockColumn(source)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("partition_by: buckets are of integers, and column %q is of the Arrow type %s", p.Column, source.Type))
				continue
			}
			name := p.Column + "_bucket"
			if slices.Contains(g.columnNames(), name) {
				wrong = append(wrong, fmt.Errorf("partition_by: the query has a column %q, the name of the bucket's; rename it", name))
			}
			g.columns = append(g.columns, column{field: nullable(name, arrow.PrimitiveTypes.Int64), source: g.columns[at].source,
				convert: convert, bucket: p.Bucket})
			at = len(g.columns) - 1
		}
		g.partitions = append(g.partitions, at)
		g.names = append(g.names, g.columns[at].field.Name)
	}
	if len(g.partitions) > 0 && len(g.partitions) == len(g.columns) {
		wrong = append(wrong, errors.New("partition_by names every column; a Delta table needs one that is not a partition column"))
	}
	return errors.Join(wrong...)
}

// layOut works out what the files hold.
func (g *target) layOut() {
	g.blockFile = -1
	var fields []arrow.Field
	for i, c := range g.columns {
		if slices.Contains(g.partitions, i) {
			continue
		}
		if c.source == g.table.BlockColumn && c.bucket == 0 {
			g.blockFile = len(g.stored)
		}
		g.stored = append(g.stored, i)
		fields = append(fields, c.field)
	}
	g.file = arrow.NewSchema(fields, nil)
}

func (g *target) columnNames() []string {
	names := make([]string, len(g.columns))
	for i, c := range g.columns {
		names[i] = c.field.Name
	}
	return names
}

// writerProperties are how files are written.
func (g *target) writerProperties(cfg config.Delta) (*parquet.WriterProperties, error) {
	codec, level, err := codecOf(cfg.Compression)
	options := []parquet.WriterProperty{
		parquet.WithCreatedBy(deltalog.Engine + " " + version()),
		parquet.WithCompression(codec),
		parquet.WithDictionaryDefault(false),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithStoreDecimalAsInteger(true),
		// The size of a file is known to about a page of each column. Of pages of 128 KiB a file
		// is 2 % larger than of 512 KiB, and of those as large as of 1 MiB.
		parquet.WithDataPageSize(min(max(cfg.TargetFileSize/64, 64<<10), 512<<10)),
	}
	if level > 0 {
		options = append(options, parquet.WithCompressionLevel(level))
	}
	for _, name := range cfg.Dictionary {
		if !slices.ContainsFunc(g.file.Fields(), func(f arrow.Field) bool { return f.Name == name }) {
			err = errors.Join(err, fmt.Errorf("dictionary names column %q, and the files have only %q", name, g.columnNames()))
		}
		options = append(options, parquet.WithDictionaryFor(name, true))
	}
	return parquet.NewWriterProperties(options...), err
}

var codecs = map[string]compress.Compression{
	"zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy, "gzip": compress.Codecs.Gzip, "none": compress.Codecs.Uncompressed,
}

// codecOf reads the name of a compression and its level, 0 if it has none.
func codecOf(text string) (codec compress.Compression, level int, err error) {
	name, rest, leveled := strings.Cut(text, "(")
	codec, known := codecs[name]
	if name == "zstd" {
		level = 1
	}
	if leveled {
		level, err = strconv.Atoi(strings.TrimSuffix(rest, ")"))
		known = err == nil && level >= 1 && level <= 22 && strings.HasSuffix(rest, ")") && name == "zstd"
	}
	if !known {
		return 0, 0, fmt.Errorf("compression %q is unknown; use zstd(1) to zstd(22), snappy, gzip or none", text)
	}
	return codec, level, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// schema returns the schema of the table, as the log has it.
func (g *target) schema() deltalog.Schema {
	fields := make([]arrow.Field, len(g.columns))
	for i, c := range g.columns {
		fields[i] = c.field
	}
	return deltalog.SchemaOf(fields)
}

// fits compares the table that is there with the one that is wanted.
func (g *target) fits(s *deltalog.Snapshot) error {
	var have deltalog.Schema
	if err := json.Unmarshal([]byte(s.MetaData.SchemaString), &have); err != nil {
		return fault.Permanent(fmt.Errorf("read the schema of the table: %w", err))
	}
	var wrong []error
	want := g.schema()
	for _, f := range want.Fields {
		at := slices.IndexFunc(have.Fields, func(h deltalog.SchemaField) bool { return h.Name == f.Name })
		if at < 0 {
			wrong = append(wrong, fmt.Errorf("column %q is missing in the table", f.Name))
			continue
		}
		h := have.Fields[at]
		if there, needed := deltalog.TypeText(h.Type), deltalog.TypeText(f.Type); there != needed {
			wrong = append(wrong, fmt.Errorf("column %q is of the type %s, and the query needs %s", f.Name, there, needed))
		}
		if !h.Nullable {
			wrong = append(wrong, fmt.Errorf("column %q may not be NULL in the table, and what Amp says about that is a guess", f.Name))
		}
		for key := range h.Metadata {
			if key == "delta.invariants" || strings.HasPrefix(key, "delta.generation") || strings.HasPrefix(key, "delta.identity") {
				wrong = append(wrong, fmt.Errorf("column %q has %s, which ampipe does not keep", f.Name, key))
			}
		}
	}
	for _, h := range have.Fields {
		// A reorg and compaction write files anew, and would lose its values.
		if !slices.ContainsFunc(want.Fields, func(f deltalog.SchemaField) bool { return f.Name == h.Name }) {
			wrong = append(wrong, fmt.Errorf("the table has a column %q, and the query does not", h.Name))
		}
	}
	if !slices.Equal(slices.Concat([]string{}, s.MetaData.PartitionColumns), slices.Concat([]string{}, g.names)) {
		wrong = append(wrong, fmt.Errorf("the table is partitioned by %q, and partition_by says %q", s.MetaData.PartitionColumns, g.names))
	}
	if err := errors.Join(wrong...); err != nil {
		return fault.Permanent(fmt.Errorf("%w; use another path or url, or cast in the query", err))
	}
	return nil
}

// converted returns a record's columns as the table has them: those of the files as
// a record, and those of partitions. The caller releases both. A value that cannot
// be held is a *refusedValue.
func (g *target) converted(rec arrow.RecordBatch) (arrow.RecordBatch, []arrow.Array, error) {
	columns := make([]arrow.Array, 0, len(g.columns))
	defer func() { releaseAll(columns) }()
	for _, c := range g.columns {
		a, err := c.convert.apply(rec.Column(c.source))
		if err == nil && c.bucket > 0 {
			blocks := a
			a = bucketed(blocks, c.bucket)
			blocks.Release()
		}
		if err != nil {
			return nil, nil, inColumn(err, c.field.Name)
		}
		columns = append(columns, a)
	}
	inFile := make([]arrow.Array, len(g.stored))
	for i, at := range g.stored {
		inFile[i] = columns[at]
	}
	by := make([]arrow.Array, len(g.partitions))
	for i, at := range g.partitions {
		columns[at].Retain()
		by[i] = columns[at]
	}
	return array.NewRecordBatch(g.file, inFile, rec.NumRows()), by, nil
}
