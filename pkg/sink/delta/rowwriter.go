package delta

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// rowWriter writes rows as Parquet, in row groups.
type rowWriter interface {
	Write(rec arrow.RecordBatch) error
	Flush() error // ends the row group
	// Size and GroupSize return about how large the file and its row group are, compressed.
	Size() int64
	GroupSize() int64
	Held() int64 // bytes in memory, about
	Close() (*metadata.FileMetaData, error)
}

// newRowWriter begins a file.
func (g *target) newRowWriter(to io.Writer) (rowWriter, error) {
	if g.layout != nil {
		return g.layout.NewWriter(to)
	}
	w, err := pqarrow.NewFileWriter(g.file, to, g.properties, pqarrow.DefaultWriterProps())
	return libraryWriter{w}, err
}

// libraryWriter writes what package parquetfile does not: nested columns and dictionaries.
type libraryWriter struct{ *pqarrow.FileWriter }

func (w libraryWriter) Write(rec arrow.RecordBatch) error { return w.WriteBuffered(rec) }

func (w libraryWriter) Flush() error { return w.NewBufferedRowGroupChecked() }

func (w libraryWriter) Size() int64 { return w.TotalCompressedBytes() }

func (w libraryWriter) GroupSize() int64 { return w.RowGroupTotalCompressedBytes() }

func (w libraryWriter) Held() int64 { return w.RowGroupTotalCompressedBytes() }

func (w libraryWriter) Close() (*metadata.FileMetaData, error) {
	if err := w.FileWriter.Close(); err != nil {
		return nil, err
	}
	return w.FileMetadata()
}
