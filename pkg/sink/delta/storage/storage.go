// Package storage is where a Delta table lies: a folder, or a bucket of S3,
// Google Cloud Storage or Azure. It knows names and bytes, and the one operation
// that the protocol rests on: writing a name that is not taken.
package storage

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
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

	// Write copies size bytes of r to a file, over the one that may be there. It is
	// durable, and visible in full, when it returns.
	Write(ctx context.Context, name string, r io.ReaderAt, size int64) error

	// Read returns a whole small file.
	Read(ctx context.Context, name string) ([]byte, error)

	// Open returns random access to a file. The caller closes it.
	Open(ctx context.Context, name string) (File, error)

	// List returns the files whose names begin with prefix and come after the name
	// after, in ascending order of their names' bytes.
	List(ctx context.Context, prefix, after string, each func(Info) error) error

	// Delete removes a file. One that is not there is no error.
	Delete(ctx context.Context, name string) error

	// Longest returns how many bytes a name may have, and each part of it between
	// slashes.
	Longest() (whole, part int)

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
	URL      string // s3://bucket/folder, gs://bucket/folder, azblob://container/folder
	Endpoint string // of a server that speaks as the url's scheme says; empty: AWS, Google, or the Azure account's
	Region   string // S3; empty: from the environment
	Spool    string // folder for files on their way; empty: the system's
}

// Open opens the place. It creates nothing, and asks no bucket anything yet;
// credentials may be looked up.
func Open(ctx context.Context, p Place) (Store, error) {
	if p.Path != "" {
		return NewFolder(p.Path), nil
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return nil, fault.Permanent(errors.New("the url is not one of a bucket; write it as s3://bucket/folder"))
	}
	return openBucket(ctx, u, p)
}

// folderOf returns what all names in the bucket begin with: nothing, or a folder and a
// slash.
func folderOf(u *url.URL) string {
	if folder := strings.Trim(u.Path, "/"); folder != "" {
		return folder + "/"
	}
	return ""
}

// shown returns a place in a bucket for people, without parameters.
func shown(u *url.URL, endpoint string) string {
	text := strings.TrimSuffix(u.Scheme+"://"+u.Host+"/"+folderOf(u), "/")
	if endpoint != "" {
		text += " at " + endpoint
	}
	return text
}

// ownTransport returns a transport whose connections its owner can close. It is as
// [http.DefaultTransport], for which the program may have put something else.
func ownTransport() limitedTransport {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return limitedTransport{&http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		MaxIdleConns: 100, MaxIdleConnsPerHost: probeWriters, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}}
}

// longestName is what the clouds take for the name of an object.
const longestName = 1024
