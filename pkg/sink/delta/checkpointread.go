package delta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// checkpointRows is how many rows of a checkpoint are in memory at a time.
const checkpointRows = 8192

// readCheckpoint reads the state of a version, of any writer.
func readCheckpoint(ctx context.Context, store storage.Store, version int64, names []string) (*snapshot, error) {
	s := emptySnapshot()
	s.version = version
	for _, name := range names {
		if err := readCheckpointPart(ctx, store, name, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func readCheckpointPart(ctx context.Context, store storage.Store, name string, s *snapshot) error {
	f, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	damaged := func(err error) error {
		return fault.Permanent(fmt.Errorf("read checkpoint %s: %w", name, err))
	}
	r, err := file.NewParquetReader(f)
	if err != nil {
		return damaged(err)
	}
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: checkpointRows}, memory.DefaultAllocator)
	if err != nil {
		return damaged(err)
	}
	records, err := reader.GetRecordReader(ctx, checkpointLeaves(r), nil)
	if err != nil {
		return damaged(err)
	}
	defer records.Release()
	for records.Next() {
		rec := records.RecordBatch()
		for i, f := range rec.Schema().Fields() {
			column, ok := rec.Column(i).(*array.Struct)
			if !ok {
				return damaged(fmt.Errorf("column %q is of the type %s", f.Name, f.Type))
			}
			for row := range column.Len() {
				if column.IsValid(row) {
					s.playRow(f.Name, fieldsOf{column, row})
				}
			}
		}
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		return damaged(err)
	}
	return nil
}

// checkpointLeaves picks the columns of a checkpoint that we use: others, such as
// parsed statistics, may be there and large.
func checkpointLeaves(r *file.Reader) []int {
	var leaves []int
	schema := r.MetaData().Schema
	for i := range schema.NumColumns() {
		path := strings.SplitN(schema.Column(i).Path(), ".", 3)
		if slices.Contains([]string{"txn", "add", "remove", "metaData", "protocol"}, path[0]) &&
			(len(path) < 2 || !strings.HasSuffix(path[1], "_parsed")) {
			leaves = append(leaves, i)
		}
	}
	return leaves
}

// playRow puts one row of a checkpoint into the snapshot. Some writers leave the
// columns of other kinds set to empty structs: a path or an id tells them apart.
func (s *snapshot) playRow(kind string, f fieldsOf) {
	switch kind {
	case "txn":
		if id := f.text("appId"); id != "" {
			s.txns[id] = txn{AppID: id, Version: f.long("version"), LastUpdated: f.long("lastUpdated")}
		}
	case "add":
		if path := f.text("path"); path != "" {
			a := &add{Path: path, PartitionValues: f.values("partitionValues"), Size: f.long("size"),
				ModificationTime: f.long("modificationTime"), Stats: f.text("stats"), Tags: f.mapping("tags")}
			if f.has("deletionVector") {
				a.DeletionVector = json.RawMessage("{}")
			}
			s.files = s.files.with(path, a)
		}
	case "remove":
		if path := f.text("path"); path != "" {
			s.bury(&remove{Path: path, DeletionTimestamp: f.long("deletionTimestamp"), ExtendedFileMetadata: f.flag("extendedFileMetadata"),
				PartitionValues: f.values("partitionValues"), Size: f.long("size"), Tags: f.mapping("tags")})
		}
	case "metaData":
		if id := f.text("id"); id != "" {
			s.meta = &metaData{ID: id, Name: f.text("name"), Description: f.text("description"), SchemaString: f.text("schemaString"),
				PartitionColumns: f.texts("partitionColumns"), Configuration: f.mapping("configuration"), CreatedTime: f.long("createdTime")}
			if of, ok := f.field("format").(*array.Struct); ok {
				in := fieldsOf{of, f.row}
				s.meta.Format = format{Provider: in.text("provider"), Options: in.mapping("options")}
			}
		}
	case "protocol":
		if v := f.long("minReaderVersion"); v > 0 {
			s.protocol = &protocol{MinReaderVersion: int(v), MinWriterVersion: int(f.long("minWriterVersion")),
				ReaderFeatures: f.texts("readerFeatures"), WriterFeatures: f.texts("writerFeatures")}
		}
	}
}

// fieldsOf is a row of a struct. A field that is missing reads like a null.
type fieldsOf struct {
	*array.Struct
	row int
}

func (f fieldsOf) field(name string) arrow.Array {
	i, ok := f.DataType().(*arrow.StructType).FieldIdx(name)
	if !ok {
		return nil
	}
	return f.Field(i)
}

// has reports whether a field is set.
func (f fieldsOf) has(name string) bool {
	a := f.field(name)
	return a != nil && a.IsValid(f.row)
}

func (f fieldsOf) text(name string) string {
	if !f.has(name) {
		return ""
	}
	return f.field(name).ValueStr(f.row)
}

func (f fieldsOf) long(name string) int64 {
	if f.has(name) {
		switch a := f.field(name).(type) {
		case *array.Int64:
			return a.Value(f.row)
		case *array.Int32:
			return int64(a.Value(f.row))
		}
	}
	return 0
}

func (f fieldsOf) flag(name string) bool {
	a, ok := f.field(name).(*array.Boolean)
	return ok && a.IsValid(f.row) && a.Value(f.row)
}

func (f fieldsOf) texts(name string) []string {
	a, ok := f.field(name).(*array.List)
	if !ok || a.IsNull(f.row) {
		return nil
	}
	from, to := a.ValueOffsets(f.row)
	all := make([]string, 0, to-from)
	for i := int(from); i < int(to); i++ {
		all = append(all, a.ListValues().ValueStr(i))
	}
	return all
}

func (f fieldsOf) values(name string) map[string]*string {
	a, ok := f.field(name).(*array.Map)
	if !ok || a.IsNull(f.row) {
		return nil
	}
	from, to := a.ValueOffsets(f.row)
	all := make(map[string]*string, to-from)
	for i := int(from); i < int(to); i++ {
		var value *string
		if a.Items().IsValid(i) {
			text := a.Items().ValueStr(i)
			value = &text
		}
		all[a.Keys().ValueStr(i)] = value
	}
	return all
}

func (f fieldsOf) mapping(name string) map[string]string {
	var all map[string]string
	for k, v := range f.values(name) {
		if all == nil {
			all = map[string]string{}
		}
		if v != nil {
			all[k] = *v
		}
	}
	return all
}
