package delta

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

func textMap() arrow.DataType {
	return arrow.MapOfFields(arrow.Field{Name: "key", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "value", Type: arrow.BinaryTypes.String, Nullable: true})
}

func textList() arrow.DataType {
	return arrow.ListOfField(arrow.Field{Name: "element", Type: arrow.BinaryTypes.String, Nullable: true})
}

func optional(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// checkpointSchema returns what a checkpoint of this protocol version holds: in each
// row one of the columns is set.
func checkpointSchema() *arrow.Schema {
	text, long, integer, flag := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32,
		arrow.FixedWidthTypes.Boolean
	return arrow.NewSchema([]arrow.Field{
		optional("txn", arrow.StructOf(optional("appId", text), optional("version", long), optional("lastUpdated", long))),
		optional("add", arrow.StructOf(optional("path", text), optional("partitionValues", textMap()), optional("size", long),
			optional("modificationTime", long), optional("dataChange", flag), optional("stats", text), optional("tags", textMap()))),
		optional("remove", arrow.StructOf(optional("path", text), optional("deletionTimestamp", long), optional("dataChange", flag),
			optional("extendedFileMetadata", flag), optional("partitionValues", textMap()), optional("size", long), optional("tags", textMap()))),
		optional("metaData", arrow.StructOf(optional("id", text), optional("name", text), optional("description", text),
			optional("format", arrow.StructOf(optional("provider", text), optional("options", textMap()))), optional("schemaString", text),
			optional("partitionColumns", textList()), optional("configuration", textMap()), optional("createdTime", long))),
		optional("protocol", arrow.StructOf(optional("minReaderVersion", integer), optional("minWriterVersion", integer),
			optional("readerFeatures", textList()), optional("writerFeatures", textList()))),
	}, nil)
}

// writeCheckpoint writes the whole state of a version, so that readers need not
// play the log from its beginning.
func (l *tableLog) writeCheckpoint(ctx context.Context, s *snapshot, now time.Time) error {
	b := &checkpointBuilder{array.NewRecordBuilder(memory.DefaultAllocator, checkpointSchema()), 0}
	defer b.Release()
	files := int64(s.files.len())
	b.protocol(s.protocol)
	b.metaData(s.meta)
	for _, id := range slices.Sorted(maps.Keys(s.txns)) {
		b.txn(s.txns[id])
	}
	oldest := s.oldestTombstone(now)
	for _, r := range s.removed.all() {
		if r.DeletionTimestamp >= oldest {
			b.remove(r)
		}
	}
	for _, a := range s.files.all() {
		b.add(a)
	}
	rows := b.rows
	rec := b.NewRecordBatch()
	defer rec.Release()
	var content bytes.Buffer
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithCreatedBy(engine))
	w, err := pqarrow.NewFileWriter(rec.Schema(), &content, props, pqarrow.DefaultWriterProps())
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.version, err)
	}
	if err := w.Write(rec); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.version, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.version, err)
	}
	// Whoever wrote this checkpoint before wrote the same state.
	name := fmt.Sprintf("%s%020d.checkpoint.parquet", logFolder, s.version)
	if err := l.store.Replace(ctx, name, content.Bytes()); err != nil {
		return err
	}
	hint, err := json.Marshal(map[string]int64{"version": s.version, "size": rows, "sizeInBytes": int64(content.Len()),
		"numOfAddFiles": files})
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.version, err)
	}
	if readHint(ctx, l.store) > s.version {
		return nil
	}
	return l.store.Replace(ctx, lastCheckpoint, hint)
}

// checkpointBuilder appends actions as rows.
type checkpointBuilder struct {
	*array.RecordBuilder
	rows int64
}

// The columns of checkpointSchema.
const (
	columnTxn = iota
	columnAdd
	columnRemove
	columnMetaData
	columnProtocol
)

// row begins a row that holds one column and returns a cursor over its fields.
func (b *checkpointBuilder) row(column int) *fieldCursor {
	b.rows++
	for i, f := range b.Fields() {
		if i != column {
			f.AppendNull()
		}
	}
	s := b.Field(column).(*array.StructBuilder)
	s.Append(true)
	return &fieldCursor{s, 0}
}

// fieldCursor appends the fields of a struct in their order.
type fieldCursor struct {
	*array.StructBuilder
	at int
}

func (c *fieldCursor) next() array.Builder {
	c.at++
	return c.FieldBuilder(c.at - 1)
}

func (c *fieldCursor) text(v string) { c.next().(*array.StringBuilder).Append(v) }
func (c *fieldCursor) long(v int64)  { c.next().(*array.Int64Builder).Append(v) }
func (c *fieldCursor) flag(v bool)   { c.next().(*array.BooleanBuilder).Append(v) }

func (c *fieldCursor) textOrNull(v string) {
	if v == "" {
		c.next().AppendNull()
		return
	}
	c.text(v)
}

func (c *fieldCursor) longOrNull(v int64) {
	if v == 0 {
		c.next().AppendNull()
		return
	}
	c.long(v)
}

func (c *fieldCursor) texts(v []string) {
	b := c.next().(*array.ListBuilder)
	if v == nil {
		b.AppendNull()
		return
	}
	b.Append(true)
	for _, one := range v {
		b.ValueBuilder().(*array.StringBuilder).Append(one)
	}
}

func (c *fieldCursor) mapping(v map[string]string) {
	pointers := make(map[string]*string, len(v))
	for k, one := range v {
		pointers[k] = &one
	}
	c.values(pointers)
}

func (c *fieldCursor) values(v map[string]*string) {
	b := c.next().(*array.MapBuilder)
	b.Append(true)
	for _, k := range slices.Sorted(maps.Keys(v)) {
		b.KeyBuilder().(*array.StringBuilder).Append(k)
		if v[k] == nil {
			b.ItemBuilder().AppendNull()
		} else {
			b.ItemBuilder().(*array.StringBuilder).Append(*v[k])
		}
	}
}

func (b *checkpointBuilder) txn(t txn) {
	c := b.row(columnTxn)
	c.text(t.AppID)
	c.long(t.Version)
	c.longOrNull(t.LastUpdated)
}

func (b *checkpointBuilder) add(a *add) {
	c := b.row(columnAdd)
	c.text(a.Path)
	c.values(a.PartitionValues)
	c.long(a.Size)
	c.long(a.ModificationTime)
	c.flag(false)
	c.textOrNull(a.Stats)
	c.mapping(a.Tags)
}

func (b *checkpointBuilder) remove(r *remove) {
	c := b.row(columnRemove)
	c.text(r.Path)
	c.long(r.DeletionTimestamp)
	c.flag(false)
	c.flag(r.ExtendedFileMetadata)
	c.values(r.PartitionValues)
	c.long(r.Size)
	c.mapping(r.Tags)
}

func (b *checkpointBuilder) metaData(m *metaData) {
	c := b.row(columnMetaData)
	c.text(m.ID)
	c.textOrNull(m.Name)
	c.textOrNull(m.Description)
	f := c.next().(*array.StructBuilder)
	f.Append(true)
	of := &fieldCursor{f, 0}
	of.text(m.Format.Provider)
	of.mapping(m.Format.Options)
	c.text(m.SchemaString)
	c.texts(append([]string{}, m.PartitionColumns...)) // never null
	c.mapping(m.Configuration)
	c.longOrNull(m.CreatedTime)
}

func (b *checkpointBuilder) protocol(p *protocol) {
	c := b.row(columnProtocol)
	c.next().(*array.Int32Builder).Append(int32(p.MinReaderVersion))
	c.next().(*array.Int32Builder).Append(int32(p.MinWriterVersion))
	c.texts(p.ReaderFeatures)
	c.texts(p.WriterFeatures)
}
