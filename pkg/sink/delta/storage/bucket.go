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
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Bucket is a table in a bucket of S3 or of Google Cloud Storage, or in a container of
// Azure Blob Storage. Names are given once by conditional writes; whether the server
// keeps that promise is what [Probe] finds out.
type Bucket struct {
	cloud     cloud
	kind      string // "bucket", "container"
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
	// understand returns err as an [answer] if that is what the server has said, as a
	// [credentialsError] if there was nothing to ask it with, or else without secrets.
	understand(err error) error
}

// parallel is a cloud of which an object is fetched faster than by get.
type parallel interface {
	fetch(ctx context.Context, key string, into *os.File) error
}

// object is an object that is being read.
type object struct {
	io.ReadCloser
	version string
	crc32c  *uint32 // of the whole object; nil: the cloud's library looks
}

// clouds opens a bucket for each scheme of a url. It connects to nothing.
var clouds = map[string]func(context.Context, *url.URL, Place, limitedTransport) (cloud, error){
	"s3": openS3, "gs": openGCS, "azblob": openAzure,
}

func openBucket(ctx context.Context, u *url.URL, p Place) (Store, error) {
	b := &Bucket{kind: "bucket", name: shown(u, p.Endpoint), folder: folderOf(u), spool: p.Spool, transport: ownTransport()}
	if u.Scheme == "azblob" {
		b.kind = "container"
	}
	open, ok := clouds[u.Scheme]
	if !ok {
		return nil, fault.Permanent(fmt.Errorf("the url begins with %s://; use s3://, gs:// or azblob://", u.Scheme))
	}
	var err error
	b.cloud, err = open(ctx, u, p, b.transport)
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
	if fast, ok := b.cloud.(parallel); ok {
		err = fast.fetch(ctx, b.folder+name, spool)
	} else {
		err = b.download(ctx, name, spool)
	}
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = spool.Close()
		return nil, b.failed(ctx, "read", name, err)
	}
	return spool, nil
}

const (
	// partSize is how much of a large file goes in one request to S3 or Azure.
	partSize = 8 << 20
	// partsAtOnce bounds the requests of one file that are under way.
	partsAtOnce = 5
)

// inParts calls send for each part of a file, of several at the same time.
func inParts(ctx context.Context, r io.ReaderAt, size int64, send func(ctx context.Context, i int, part *io.SectionReader) error) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.SetLimit(partsAtOnce)
	for i := range partsOf(size) {
		at := int64(i) * partSize
		parts.Go(func() error { return send(ctx, i, io.NewSectionReader(r, at, min(partSize, size-at))) })
	}
	return parts.Wait()
}

func partsOf(size int64) int { return int((size + partSize - 1) / partSize) }

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
		return errors.New("the bytes were changed on the way")
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
	err := b.failed(ctx, "look at", "the "+b.kind, b.cloud.any(ctx, b.folder))
	if errors.Is(err, ErrNotFound) {
		return fault.Permanent(fmt.Errorf("%s: the bucket does not exist; create it, or correct url and endpoint", b.name))
	}
	return err
}

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
	err = b.cloud.understand(err)
	what := fmt.Sprintf("%s %s in %s", verb, name, b.name)
	if refused, ok := errors.AsType[*credentialsError](err); ok {
		return refused.failure(what, b.known.Load())
	}
	if file := ofFile(err); file != nil {
		return Classify(fmt.Errorf("%s: %w", what, file))
	}
	said, ok := errors.AsType[*answer](err)
	if !ok {
		return fault.Later(fmt.Errorf("%s: %w", what, err), 0)
	}
	b.known.Store(true)
	switch {
	case said.isOne(missing):
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
	case said.isOne(taken):
		return fmt.Errorf("%s %s: %w", verb, name, ErrExists)
	}
	return said.failure(what)
}
