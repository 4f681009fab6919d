package storage

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"golang.org/x/sync/errgroup"
)

// Container is a table in a container of Azure Blob Storage.
type Container struct {
	client    *container.Client
	name      string // for people
	prefix    string // empty, or ends in a slash
	spool     string
	transport limitedTransport
	known     atomic.Bool // the server has answered: there were credentials
}

var _ Store = (*Container)(nil)

const (
	// blockSize is how much of a large file goes in one request to S3 or Azure.
	blockSize = 8 << 20
	// blocksAtOnce bounds the requests of one file that are under way.
	blocksAtOnce = 5
)

// String returns scheme, container and folder.
func (c *Container) String() string { return c.name }

// Close releases the connections.
func (c *Container) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

func (c *Container) blob(name string) *blockblob.Client {
	return c.client.NewBlockBlobClient(c.prefix + name)
}

func headers() *blob.HTTPHeaders { return &blob.HTTPHeaders{BlobContentType: to.Ptr(octets)} }

// Longest returns the clouds' limit; see [Store].
func (c *Container) Longest() (whole, part int) {
	whole = longestName - len(c.prefix)
	return whole, whole
}

// Create writes a new blob; see [Store].
func (c *Container) Create(ctx context.Context, name string, content []byte) error {
	_, err := c.blob(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(content)), &blockblob.UploadOptions{
		HTTPHeaders: headers(),
		AccessConditions: &blob.AccessConditions{
			ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)},
		},
	})
	return c.failed(ctx, "write", name, err)
}

// Replace writes a blob over another; see [Store].
func (c *Container) Replace(ctx context.Context, name string, content []byte) error {
	return c.upload(ctx, name, bytes.NewReader(content), int64(len(content)))
}

// Write uploads a blob; see [Store]. A large one goes in blocks, which are no blob
// until they are committed.
func (c *Container) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	if size <= blockSize {
		return c.upload(ctx, name, r, size)
	}
	b := c.blob(name)
	blocks, staging := errgroup.WithContext(ctx)
	blocks.SetLimit(blocksAtOnce)
	var ids []string
	for at := int64(0); at < size; at += blockSize {
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%08d", len(ids)))
		ids = append(ids, id)
		part := io.NewSectionReader(r, at, min(blockSize, size-at))
		blocks.Go(func() error {
			_, err := b.StageBlock(staging, id, streaming.NopCloser(part), nil)
			return err
		})
	}
	err := blocks.Wait()
	if err == nil {
		_, err = b.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{HTTPHeaders: headers()})
	}
	return c.failed(ctx, "write", name, err)
}

// upload writes a blob in one request.
func (c *Container) upload(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	_, err := c.blob(name).Upload(ctx, streaming.NopCloser(io.NewSectionReader(r, 0, size)),
		&blockblob.UploadOptions{HTTPHeaders: headers()})
	return c.failed(ctx, "write", name, err)
}

// Read downloads a blob; see [Store].
func (c *Container) Read(ctx context.Context, name string) ([]byte, error) {
	answer, err := c.blob(name).DownloadStream(ctx, nil)
	if err != nil {
		return nil, c.failed(ctx, "read", name, err)
	}
	body := answer.NewRetryReader(ctx, nil)
	defer func() { _ = body.Close() }() // it was only read
	content, err := io.ReadAll(body)
	return content, c.failed(ctx, "read", name, err)
}

// Open downloads a blob into a spool file; see [Store].
func (c *Container) Open(ctx context.Context, name string) (File, error) {
	spool, err := NewSpool(c.spool)
	if err != nil {
		return nil, err
	}
	if _, err := c.blob(name).DownloadFile(ctx, spool, nil); err != nil {
		_ = spool.Close()
		return nil, c.failed(ctx, "read", name, err)
	}
	return spool, nil
}

// List lists blobs; see [Store].
func (c *Container) List(ctx context.Context, prefix, after string, each func(Info) error) error {
	pages := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: to.Ptr(c.prefix + prefix)})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return c.failed(ctx, "list", prefix, err)
		}
		for _, b := range page.Segment.BlobItems {
			name := (*b.Name)[len(c.prefix):]
			if name <= after || isFolder(b.Properties) {
				continue
			}
			if err := each(Info{Name: name, Size: *b.Properties.ContentLength, Modified: *b.Properties.LastModified}); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFolder knows the folders of an account with hierarchical names, which are listed
// like blobs.
func isFolder(p *container.BlobProperties) bool {
	return p.ResourceType != nil && *p.ResourceType == "directory"
}

// Delete removes a blob; see [Store].
func (c *Container) Delete(ctx context.Context, name string) error {
	_, err := c.blob(name).Delete(ctx, nil)
	if isMissing(err) {
		return nil
	}
	return c.failed(ctx, "delete", name, err)
}

// Accessible reports whether the container exists and may be listed.
func (c *Container) Accessible(ctx context.Context) error {
	_, err := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix: to.Ptr(c.prefix), MaxResults: to.Ptr(int32(1)),
	}).NextPage(ctx)
	return c.failed(ctx, "look at", "the container", err)
}
