// Package storage is where a Delta table lies: a folder, or a bucket of S3,
// Google Cloud Storage or Azure. It knows names and bytes, and the one operation
// that the protocol rests on: writing a name that is not taken.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Errors that callers branch on. They come wrapped.
var (
	ErrExists   = errors.New("the name is taken")
	ErrNotFound = errors.New("there is nothing of that name")
)

// Store holds the files of one table under names that are relative to it, with
// "/" between folders. It is safe for concurrent use, also by several processes.
//
// Errors are classed (package fault): what only the user can mend is permanent,
// a storage that cannot be reached is fault.Later.
type Store interface {
	// Create writes a whole file under a name that is not taken, or fails with
	// [ErrExists]: of all who try at the same time, in any process, one wins. What
	// it wrote is durable when it returns. After another error the file may be
	// there or not.
	Create(ctx context.Context, name string, content []byte) error

	// Write copies size bytes of r to a name that nobody else uses. The file is
	// durable, and visible in full, when it returns.
	Write(ctx context.Context, name string, r io.ReaderAt, size int64) error

	// Replace writes a whole file over the one that may be there.
	Replace(ctx context.Context, name string, content []byte) error

	// Read gives a whole small file.
	Read(ctx context.Context, name string) ([]byte, error)

	// Open gives random access to a file. The caller closes it.
	Open(ctx context.Context, name string) (File, error)

	// List gives the files whose names begin with prefix and come after the name
	// after, in ascending order of their names' bytes.
	List(ctx context.Context, prefix, after string, each func(Info) error) error

	// Delete removes a file. One that is not there is no error.
	Delete(ctx context.Context, name string) error

	// Close releases connections.
	Close() error

	// String names the place for people, without secrets.
	String() string
}

// Info describes a file.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time
}

// File is a file that is open for reading. ReadAt may be called concurrently.
type File interface {
	io.ReaderAt
	io.ReadSeekCloser
}

// Place says where a table is. Exactly one of Path and URL is set.
type Place struct {
	Path     string // a folder, absolute
	URL      string // s3://bucket/prefix, gs://bucket/prefix, azblob://container/prefix
	Endpoint string // of an S3-compatible server; empty: AWS
	Region   string // S3; empty: from the environment
	Spool    string // folder for files on their way; empty: the system's
}

// Open opens the place. It connects to nothing yet and creates nothing.
func Open(ctx context.Context, p Place) (Store, error) {
	if p.Path != "" {
		return NewFolder(p.Path), nil
	}
	return openBucket(ctx, p)
}

// readAll reads what Read promises to be small.
func readAll(r io.Reader, name string) ([]byte, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
