package storage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// s3Bucket is a bucket that is spoken to by Amazon's own library.
type s3Bucket struct {
	client *s3.Client
	bucket *string
	// checksum is what each part of an upload has besides the signature; empty: nothing.
	checksum types.ChecksumAlgorithm
}

// abortTime bounds the removal of the parts of an upload that failed.
const abortTime = 10 * time.Second

// openS3 opens a bucket. The url may hold the parameters that [s3Config] knows.
func openS3(ctx context.Context, u *url.URL, p Place, transport limitedTransport) (cloud, error) {
	q := u.Query()
	if p.Region != "" {
		q.Set("region", p.Region)
	}
	if p.Endpoint != "" {
		if !q.Has("use_path_style") {
			q.Set("use_path_style", "true")
		}
		// Checksums in trailers are news to many compatible servers.
		q.Set("request_checksum_calculation", "when_required")
		q.Set("response_checksum_validation", "when_required")
		if !q.Has("region") {
			q.Set("region", "us-east-1")
		}
	}
	cfg, err := s3Config(ctx, q)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("the bucket's region is not known; set region, or AWS_REGION")
	}
	// The library's own connections would stay open.
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = q.Get("use_path_style") == "true" || q.Get("hostname_immutable") == "true"
		if p.Endpoint != "" {
			o.BaseEndpoint = &p.Endpoint
		}
	})
	b := &s3Bucket{client: client, bucket: &u.Host}
	if cfg.RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired {
		b.checksum = types.ChecksumAlgorithmCrc32
	}
	return b, nil
}

// put writes an object; see [cloud]. A large one goes in parts, which are no object
// until all are there.
func (b *s3Bucket) put(ctx context.Context, key string, r io.ReaderAt, size int64, onlyNew bool) error {
	if size > partSize && !onlyNew {
		return b.putParts(ctx, key, r, size)
	}
	in := &s3.PutObjectInput{Bucket: b.bucket, Key: &key, Body: io.NewSectionReader(r, 0, size), ContentLength: &size,
		ContentType: aws.String(octets)}
	if onlyNew {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := b.client.PutObject(ctx, in)
	return err
}

func (b *s3Bucket) putParts(ctx context.Context, key string, r io.ReaderAt, size int64) error {
	upload, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b.bucket, Key: &key,
		ContentType: aws.String(octets), ChecksumAlgorithm: b.checksum})
	if err != nil {
		return err
	}
	parts := make([]types.CompletedPart, partsOf(size))
	err = inParts(ctx, r, size, func(ctx context.Context, i int, content *io.SectionReader) error {
		number := int32(i + 1)
		part, err := b.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: b.bucket, Key: &key, UploadId: upload.UploadId,
			PartNumber: &number, ChecksumAlgorithm: b.checksum, Body: content})
		if err == nil {
			parts[i] = types.CompletedPart{PartNumber: &number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}
		}
		return err
	})
	if err == nil {
		_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b.bucket, Key: &key,
			UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	}
	if err != nil {
		b.abort(ctx, key, upload.UploadId)
	}
	return err
}

// abort removes the parts of an upload that failed, also when ctx has ended. If that
// fails, too, a rule of the bucket has to.
func (b *s3Bucket) abort(ctx context.Context, key string, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, _ = b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b.bucket, Key: &key, UploadId: upload})
}

func (b *s3Bucket) get(ctx context.Context, key string, offset int64, version string) (*object, error) {
	in := &s3.GetObjectInput{Bucket: b.bucket, Key: &key}
	if offset > 0 {
		in.Range, in.IfMatch = aws.String(rangeFrom(offset)), &version
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, err
	}
	return &object{ReadCloser: out.Body, version: aws.ToString(out.ETag)}, nil
}

func (b *s3Bucket) list(ctx context.Context, prefix, after string, each func(Info) error) error {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: b.bucket, Prefix: &prefix, StartAfter: &after})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if err := each(Info{Name: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *s3Bucket) any(ctx context.Context, prefix string) error {
	_, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b.bucket, Prefix: &prefix, MaxKeys: aws.Int32(1)})
	return err
}

func (b *s3Bucket) delete(ctx context.Context, key string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.bucket, Key: &key})
	return err
}

// understand returns what the server has said; see [cloud].
func (b *s3Bucket) understand(err error) error {
	said, ok := errors.AsType[smithy.APIError](err)
	if _, issuers := errors.AsType[*credentialsError](err); issuers || !ok {
		return err
	}
	a := &answer{code: said.ErrorCode(), message: said.ErrorMessage()}
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) {
		a.status = response.HTTPStatusCode()
	}
	return a
}
