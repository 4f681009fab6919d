package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Bucket is a table in a bucket of S3 or of Google Cloud Storage. Names are given once by conditional
// writes; whether the server keeps that promise is what [Probe] finds out.
type Bucket struct {
	bucket *blob.Bucket
	name   string
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
	if folder := folderOf(u); folder != "" {
		bucket = blob.PrefixedBucket(bucket, folder)
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

// failed classes an error of the library. Whatever it does not know is the
// network's or the server's: it passes, and it is shown.
func (b *Bucket) failed(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, name, context.Cause(ctx))
	}
	if reason := refusedByGoogle(err); reason != "" {
		return fault.Permanent(fmt.Errorf("%s %s in %s: %s: %w", verb, name, b.name, reason, err))
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return fmt.Errorf("%s %s: %w", verb, name, ErrExists)
	case gcerrors.PermissionDenied:
		return fault.Permanent(fmt.Errorf("%s %s in %s: %s: %w", verb, name, b.name, accessDenied, err))
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return fault.Permanent(fmt.Errorf("%s %s in %s: %w", verb, name, b.name, err))
	}
	if reason := hopeless(err); reason != "" {
		return fault.Permanent(fmt.Errorf("%s %s in %s: %s: %w", verb, name, b.name, reason, err))
	}
	return fault.Later(fmt.Errorf("%s %s in %s: %w", verb, name, b.name, err), 0)
}

// hopeless knows errors that the library has no code for.
func hopeless(err error) string {
	var coded interface{ ErrorCode() string } // smithy.APIError, without its package
	if errors.As(err, &coded) {
		switch coded.ErrorCode() {
		case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidClientTokenId":
			return "the server does not accept the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
		case "NotImplemented":
			return "the server does not offer this operation"
		case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
			return "the bucket is in another region; set region"
		}
	}
	if strings.Contains(err.Error(), "failed to refresh cached credentials") {
		return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
	}
	return ""
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
