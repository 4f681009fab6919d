package delta

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Scan is the strict reader of the tests. It plays the log from version 0, action
// by action, and fails when a file is added that is there, or removed that is not,
// when a file is missing in storage or of another size, and when its statistics do
// not hold. It returns the rows of a version, -1 for the newest.
func Scan(ctx context.Context, store storage.Store, version int64, each func(arrow.RecordBatch) error) error {
	files, err := Replay(ctx, store, version)
	if err != nil {
		return err
	}
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := scanFile(ctx, store, files[path], each); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// Replay plays the log from version 0.
func Replay(ctx context.Context, store storage.Store, version int64) (map[string]*deltalog.Add, error) {
	files := map[string]*deltalog.Add{}
	for v := int64(0); version < 0 || v <= version; v++ {
		content, err := store.Read(ctx, fmt.Sprintf("%s%020d.json", deltalog.Folder, v))
		if err != nil {
			if v > 0 && version < 0 && strings.Contains(err.Error(), storage.ErrNotFound.Error()) {
				return files, nil
			}
			return nil, err
		}
		for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
			var a struct {
				Add    *deltalog.Add    `json:"add"`
				Remove *deltalog.Remove `json:"remove"`
			}
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				return nil, fmt.Errorf("version %d: %w", v, err)
			}
			if a.Add != nil {
				if files[a.Add.Path] != nil {
					return nil, fmt.Errorf("version %d adds %s, which is there", v, a.Add.Path)
				}
				files[a.Add.Path] = a.Add
			}
			if a.Remove != nil {
				if files[a.Remove.Path] == nil {
					return nil, fmt.Errorf("version %d removes %s, which is not there", v, a.Remove.Path)
				}
				delete(files, a.Remove.Path)
			}
		}
	}
	return files, nil
}

func scanFile(ctx context.Context, store storage.Store, a *deltalog.Add, each func(arrow.RecordBatch) error) error {
	name, err := deltalog.FileName(a.Path)
	if err != nil {
		return err
	}
	f, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if size, err := f.Seek(0, 2); err != nil || size != a.Size {
		return fmt.Errorf("%d bytes (%v), and the log says %d", size, err, a.Size)
	}
	r, err := file.NewParquetReader(f)
	if err != nil {
		return err
	}
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 1000}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	records, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	c, err := newStatsChecker(a)
	if err != nil {
		return err
	}
	for records.Next() {
		rec := records.RecordBatch()
		if err := c.record(rec); err != nil {
			return err
		}
		if each != nil {
			if err := each(rec); err != nil {
				return err
			}
		}
	}
	return c.end()
}
