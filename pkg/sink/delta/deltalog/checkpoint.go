package deltalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Engine is who we say we are, in commits and in files.
const Engine = "ampipe"

// Checkpoint writes the whole state of a version, so that readers need not play the
// log from its beginning. Tombstones that are too old at a time are left out. Delta:
// Checkpoints.
func (l *Log) Checkpoint(ctx context.Context, s *Snapshot, now time.Time) error {
	content, rows, err := s.encode(now)
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.Version, err)
	}
	// Whoever wrote this checkpoint before wrote the same state.
	name := fmt.Sprintf("%s%020d.checkpoint.parquet", Folder, s.Version)
	if err := l.store.Write(ctx, name, bytes.NewReader(content), int64(len(content))); err != nil {
		return err
	}
	hint, err := json.Marshal(map[string]int64{"version": s.Version, "size": rows, "sizeInBytes": int64(len(content)),
		"numOfAddFiles": int64(s.Files.Len())})
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", s.Version, err)
	}
	if readHint(ctx, l.store) > s.Version {
		return nil
	}
	return l.store.Write(ctx, lastCheckpoint, bytes.NewReader(hint), int64(len(hint)))
}

// encode returns the state as a Parquet file, and how many rows that has.
func (s *Snapshot) encode(now time.Time) (content []byte, rows int64, err error) {
	actions := columnsOf(reflect.TypeFor[Action]())
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(actions.fields(), nil))
	defer b.Release()
	var a Action
	fields := reflect.ValueOf(&a).Elem()
	row := func(one Action) {
		a = one
		rows++
		for i := range actions {
			actions[i].append(b.Field(i), fields.Field(actions[i].at))
		}
	}
	meta := *s.MetaData
	meta.PartitionColumns = append([]string{}, meta.PartitionColumns...) // never null
	row(Action{Protocol: s.Protocol})
	row(Action{MetaData: &meta})
	for _, id := range slices.Sorted(maps.Keys(s.Txns)) {
		row(Action{Txn: new(s.Txns[id])})
	}
	var removed Remove
	var added Add
	oldest := s.oldestTombstone(now)
	for _, r := range s.Removed.All() {
		if r.DeletionTimestamp >= oldest {
			removed = *r
			removed.DataChange = false
			row(Action{Remove: &removed})
		}
	}
	for _, f := range s.Files.All() {
		added = *f
		added.DataChange = false
		row(Action{Add: &added})
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	var out bytes.Buffer
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithCreatedBy(Engine))
	w, err := pqarrow.NewFileWriter(rec.Schema(), &out, props, pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), rows, err
}

// checkpointRows is how many rows of a checkpoint are in memory at a time.
const checkpointRows = 8192

// readCheckpoint reads the state of a version, of any writer.
func readCheckpoint(ctx context.Context, store storage.Store, version int64, names []string) (*Snapshot, error) {
	s := emptySnapshot()
	s.Version = version
	for _, name := range names {
		f, err := store.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		err = s.decode(ctx, f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fault.Permanent(fmt.Errorf("read checkpoint %s: %w", name, err))
		}
	}
	return s, nil
}

// decode adds what a file of a checkpoint says.
func (s *Snapshot) decode(ctx context.Context, f storage.File) error {
	r, err := file.NewParquetReader(f)
	if err != nil {
		return err
	}
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: checkpointRows}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	actions := columnsOf(reflect.TypeFor[Action]())
	records, err := reader.GetRecordReader(ctx, actions.leavesIn(r), nil)
	if err != nil {
		return err
	}
	defer records.Release()
	for records.Next() {
		rec := records.RecordBatch()
		for i, f := range rec.Schema().Fields() {
			column, ok := rec.Column(i).(*array.Struct)
			if !ok {
				return fmt.Errorf("column %q is of the type %s", f.Name, f.Type)
			}
			c := actions.named(f.Name)
			var a Action
			into := reflect.ValueOf(&a).Elem().Field(c.at)
			for row := range column.Len() {
				into.SetZero()
				c.read(column, row, into)
				if a.isSet() {
					s.put(a)
				}
			}
		}
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
