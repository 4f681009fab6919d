package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Bucket is a table in a bucket of S3 or of Google Cloud Storage. Names are given once by conditional
// writes; whether the server keeps that promise is what [Probe] finds out.
type Bucket struct {
	bucket *blob.Bucket
	name   string
	folder string // what all names begin with; empty, or ends in a slash
	spool  string
	hangUp func() // closes connections; nil: the library does
}

var _ Store = (*Bucket)(nil)

// NewBucket gives a bucket as a Store, which closes it. name is for people, spool
// the folder for what is being read; see [NewSpool].
func NewBucket(b *blob.Bucket, name, spool string) *Bucket {
	return &Bucket{bucket: b, name: name, spool: spool}
}

func openBucket(ctx context.Context, u *url.URL, p Place) (*Bucket, error) {
	b := &Bucket{name: shown(u, p.Endpoint), spool: p.Spool}
	open := openS3
	if u.Scheme == "gs" {
		open = openGCS
	}
	bucket, hangUp, err := open(ctx, u, p)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("open %s: %w", b.name, err))
	}
	b.folder = folderOf(u)
	if b.folder != "" {
		bucket = blob.PrefixedBucket(bucket, b.folder)
	}
	b.bucket, b.hangUp = bucket, hangUp
	return b, nil
}

// String gives scheme, bucket and folder.
func (b *Bucket) String() string { return b.name }

// Close releases the connections.
func (b *Bucket) Close() error {
	err := b.bucket.Close()
	if b.hangUp != nil {
		b.hangUp()
	}
	return err
}

// Longest is the clouds' limit; see [Store].
func (b *Bucket) Longest() (whole, part int) {
	whole = longestName - len(b.folder)
	return whole, whole
}

// Create writes a new object; see [Store].
func (b *Bucket) Create(ctx context.Context, name string, content []byte) error {
	err := b.bucket.WriteAll(ctx, name, content, &blob.WriterOptions{IfNotExist: true, ContentType: octets})
	return b.failed(ctx, "write", name, err)
}

// octets keeps the library from guessing a type from the content.
const octets = "application/octet-stream"

// Replace writes an object over another; see [Store].
func (b *Bucket) Replace(ctx context.Context, name string, content []byte) error {
	return b.failed(ctx, "write", name, b.bucket.WriteAll(ctx, name, content, &blob.WriterOptions{ContentType: octets}))
}

// Write uploads an object; see [Store].
func (b *Bucket) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	err := b.bucket.Upload(ctx, name, io.NewSectionReader(r, 0, size), &blob.WriterOptions{ContentType: octets})
	return b.failed(ctx, "write", name, err)
}

// Read downloads an object; see [Store].
func (b *Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	r, err := b.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return nil, b.failed(ctx, "read", name, err)
	}
	defer func() { _ = r.Close() }() // it was only read
	content, err := readAll(r, name)
	return content, b.failed(ctx, "read", name, err)
}

// Open downloads an object into a spool file; see [Store].
func (b *Bucket) Open(ctx context.Context, name string) (File, error) {
	spool, err := NewSpool(b.spool)
	if err != nil {
		return nil, err
	}
	if err := b.bucket.Download(ctx, name, spool, nil); err != nil {
		_ = spool.Close()
		return nil, b.failed(ctx, "read", name, err)
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		_ = spool.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return spool, nil
}

// List lists objects; see [Store].
func (b *Bucket) List(ctx context.Context, prefix, after string, each func(Info) error) error {
	objects := b.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return b.failed(ctx, "list", prefix, err)
		}
		if o.IsDir || o.Key <= after {
			continue
		}
		if err := each(Info{Name: o.Key, Size: o.Size, Modified: o.ModTime}); err != nil {
			return err
		}
	}
}

// Delete removes an object; see [Store].
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := b.failed(ctx, "delete", name, b.bucket.Delete(ctx, name))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// failed classes an error of the library. What the server has not answered is the
// network's: it passes, and it is shown.
func (b *Bucket) failed(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, name, context.Cause(ctx))
	}
	what := fmt.Sprintf("%s %s in %s", verb, name, b.name)
	if file := ofFile(err); file != nil {
		return Classify(fmt.Errorf("%s: %w", what, file))
	}
	said, codes := answeredByS3(err), s3Codes
	if said == nil {
		said, codes = answeredByGoogle(err), gcsCodes
	}
	// gocloud.dev takes a bucket that is not there, and one that Google denies, for a
	// file that is not there, which a table must never believe.
	known := said != nil && said.decide(codes).class != fault.ClassAgain
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		if !known {
			return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
		}
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		if !known {
			return fmt.Errorf("%s %s: %w", verb, name, ErrExists)
		}
	}
	if said != nil {
		return said.failure(what, codes)
	}
	if reason := noCredentials(err); reason != "" {
		return fault.Permanent(fmt.Errorf("%s: %s: %w", what, reason, err))
	}
	return fault.Later(fmt.Errorf("%s: %w", what, err), 0)
}

// Accessible tells whether the bucket exists and may be listed.
func (b *Bucket) Accessible(ctx context.Context) error {
	_, _, err := b.bucket.ListPage(ctx, blob.FirstPageToken, 1, nil)
	err = b.failed(ctx, "look at", "the bucket", err)
	if errors.Is(err, ErrNotFound) {
		return fault.Permanent(fmt.Errorf("%s: the bucket does not exist; create it, or correct url and endpoint", b.name))
	}
	return err
}
