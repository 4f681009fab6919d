package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Bucket is a table in a bucket of S3 or of Google Cloud Storage. Names are given once by conditional
// writes; whether the server keeps that promise is what [Probe] finds out.
type Bucket struct {
	cloud     cloud
	name      string // for people
	folder    string // what all names begin with; empty, or ends in a slash
	spool     string
	transport limitedTransport
	known     atomic.Bool // the server has answered: there were credentials
}

var _ Store = (*Bucket)(nil)

// cloud is what a Bucket asks of a server. Keys are whole names in the bucket.
type cloud interface {
	// put writes size bytes of r, and if onlyNew is set, fails if the key is taken.
	put(ctx context.Context, key string, r io.ReaderAt, size int64, onlyNew bool) error
	// get opens an object at an offset. If version is not empty, it is the one that
	// was opened before.
	get(ctx context.Context, key string, offset int64, version string) (*object, error)
	// list calls each for the objects whose keys begin with prefix and come after the
	// key after, in ascending order, until it returns an error.
	list(ctx context.Context, prefix, after string, each func(Info) error) error
	// any lists at most one object.
	any(ctx context.Context, prefix string) error
	delete(ctx context.Context, key string) error
	// answered returns what the server has said if err comes from there, or nil.
	answered(err error) *answer
	// codes is what is decided for the server's codes.
	codes() map[string]advice
}

// object is an object that is being read.
type object struct {
	io.ReadCloser
	version string
	crc32c  *uint32 // of the whole object; nil: the cloud's library looks
}

func openBucket(ctx context.Context, u *url.URL, p Place) (*Bucket, error) {
	b := &Bucket{name: shown(u, p.Endpoint), folder: folderOf(u), spool: p.Spool, transport: ownTransport()}
	var err error
	if u.Scheme == "gs" {
		b.cloud, err = openGCS(ctx, u, p, b.transport)
	} else {
		b.cloud, err = openS3(ctx, u, p, b.transport)
	}
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("open %s: %w", b.name, err))
	}
	return b, nil
}

// String returns scheme, bucket and folder.
func (b *Bucket) String() string { return b.name }

// Close releases the connections.
func (b *Bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

// Longest returns the clouds' limit; see [Store].
func (b *Bucket) Longest() (whole, part int) {
	whole = longestName - len(b.folder)
	return whole, whole
}

// octets keeps the server from guessing a type from the content.
const octets = "application/octet-stream"

// Create writes a new object; see [Store].
func (b *Bucket) Create(ctx context.Context, name string, content []byte) error {
	err := b.cloud.put(ctx, b.folder+name, bytes.NewReader(content), int64(len(content)), true)
	return b.failed(ctx, "write", name, err)
}

// Replace writes an object over another; see [Store].
func (b *Bucket) Replace(ctx context.Context, name string, content []byte) error {
	return b.Write(ctx, name, bytes.NewReader(content), int64(len(content)))
}

// Write uploads an object; see [Store].
func (b *Bucket) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	return b.failed(ctx, "write", name, b.cloud.put(ctx, b.folder+name, r, size, false))
}

// Read downloads an object; see [Store].
func (b *Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	var content bytes.Buffer
	if err := b.download(ctx, name, &content); err != nil {
		return nil, b.failed(ctx, "read", name, err)
	}
	b.known.Store(true)
	return content.Bytes(), nil
}

// Open downloads an object into a spool file; see [Store].
func (b *Bucket) Open(ctx context.Context, name string) (File, error) {
	spool, err := NewSpool(b.spool)
	if err != nil {
		return nil, err
	}
	err = b.download(ctx, name, spool)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = spool.Close()
		return nil, b.failed(ctx, "read", name, err)
	}
	return spool, nil
}

// attempts is how often a request is sent that fails for a reason that may pass.
const attempts = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// download copies an object to w. It resumes where an answer breaks off.
func (b *Bucket) download(ctx context.Context, name string, w io.Writer) error {
	o, err := b.cloud.get(ctx, b.folder+name, 0, "")
	if err != nil {
		return err
	}
	version, want, got := o.version, o.crc32c, crc32.New(castagnoli)
	if want != nil {
		w = io.MultiWriter(w, got)
	}
	var offset int64
	for attempt := 1; ; attempt++ {
		n, err := io.Copy(w, o)
		_ = o.Close() // it was only read
		offset += n
		if err == nil {
			break
		}
		if attempt == attempts || ctx.Err() != nil || !isCut(err) {
			return err
		}
		if o, err = b.cloud.get(ctx, b.folder+name, offset, version); err != nil {
			return fmt.Errorf("the answer was cut after %d bytes, and could not be continued: %w", offset, err)
		}
	}
	if want != nil && got.Sum32() != *want {
		return errors.New(ofChanged)
	}
	return nil
}

// isCut reports whether a connection broke off in the middle of an answer.
func isCut(err error) bool {
	if _, ofNetwork := errors.AsType[net.Error](err); ofNetwork {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errNoAnswer)
}

// List lists objects; see [Store].
func (b *Bucket) List(ctx context.Context, prefix, after string, each func(Info) error) error {
	var ended error // by each
	err := b.cloud.list(ctx, b.folder+prefix, b.folder+after, func(i Info) error {
		i.Name = strings.TrimPrefix(i.Name, b.folder)
		if i.Name <= after { // not every server understands it
			return nil
		}
		ended = each(i)
		return ended
	})
	if ended != nil {
		return ended
	}
	return b.failed(ctx, "list", prefix, err)
}

// Delete removes an object; see [Store].
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := b.failed(ctx, "delete", name, b.cloud.delete(ctx, b.folder+name))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Accessible reports whether the bucket exists and may be listed.
func (b *Bucket) Accessible(ctx context.Context) error {
	err := b.failed(ctx, "look at", "the bucket", b.cloud.any(ctx, b.folder))
	if errors.Is(err, ErrNotFound) {
		return fault.Permanent(fmt.Errorf("%s: the bucket does not exist; create it, or correct url and endpoint", b.name))
	}
	return err
}

// The codes of an answer that a caller asks about.
var (
	missing = map[string]bool{"NoSuchKey": true, "NotFound": true, "notFound": true}
	taken   = map[string]bool{"PreconditionFailed": true, "conditionNotMet": true}
)

// failed classes an error of the cloud. What the server has not answered is the
// network's: it passes, and it is shown.
func (b *Bucket) failed(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		b.known.Store(true)
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, name, context.Cause(ctx))
	}
	what := fmt.Sprintf("%s %s in %s", verb, name, b.name)
	if refused, ok := errors.AsType[*credentialsError](err); ok {
		return refused.failure(what, b.known.Load())
	}
	if file := ofFile(err); file != nil {
		return Classify(fmt.Errorf("%s: %w", what, file))
	}
	said := b.cloud.answered(err)
	if said == nil {
		return fault.Later(fmt.Errorf("%s: %w", what, err), 0)
	}
	b.known.Store(true)
	switch {
	case missing[said.code]:
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
	case taken[said.code]:
		return fmt.Errorf("%s %s: %w", verb, name, ErrExists)
	}
	return said.failure(what, b.cloud.codes())
}
