package storage

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/ampipe/ampipe/pkg/fault"
)

// azureContainer is a container of Azure Blob Storage that is spoken to by Microsoft's
// own library.
type azureContainer struct{ client *container.Client }

func (c azureContainer) blob(key string) *blockblob.Client { return c.client.NewBlockBlobClient(key) }

// put writes a blob; see [cloud]. A large one goes in blocks, which are no blob until
// they are committed.
func (c azureContainer) put(ctx context.Context, key string, r io.ReaderAt, size int64, onlyNew bool) error {
	b, headers := c.blob(key), &blob.HTTPHeaders{BlobContentType: to.Ptr(octets)}
	if size <= partSize || onlyNew {
		o := &blockblob.UploadOptions{HTTPHeaders: headers}
		if onlyNew {
			o.AccessConditions = onlyIf(blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)})
		}
		_, err := b.Upload(ctx, streaming.NopCloser(io.NewSectionReader(r, 0, size)), o)
		return err
	}
	ids := make([]string, partsOf(size))
	err := inParts(ctx, r, size, func(ctx context.Context, i int, part *io.SectionReader) error {
		ids[i] = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%08d", i))
		_, err := b.StageBlock(ctx, ids[i], streaming.NopCloser(part), nil)
		return err
	})
	if err == nil {
		_, err = b.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{HTTPHeaders: headers})
	}
	return err
}

func onlyIf(c blob.ModifiedAccessConditions) *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &c}
}

func (c azureContainer) get(ctx context.Context, key string, offset int64, version string) (*object, error) {
	o := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: offset}}
	if version != "" {
		o.AccessConditions = onlyIf(blob.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(version))})
	}
	answer, err := c.blob(key).DownloadStream(ctx, o)
	if err != nil {
		return nil, err
	}
	found := &object{ReadCloser: answer.Body}
	if answer.ETag != nil {
		found.version = string(*answer.ETag)
	}
	return found, nil
}

// fetch downloads the blocks of a blob, several at the same time.
func (c azureContainer) fetch(ctx context.Context, key string, into *os.File) error {
	_, err := c.blob(key).DownloadFile(ctx, into, nil)
	return err
}

func (c azureContainer) list(ctx context.Context, prefix, _ string, each func(Info) error) error {
	pages := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, b := range page.Segment.BlobItems {
			// The folders of an account with hierarchical names are listed like blobs.
			if of := b.Properties; of.ResourceType == nil || *of.ResourceType != "directory" {
				if err := each(Info{Name: *b.Name, Size: *of.ContentLength, Modified: *of.LastModified}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c azureContainer) any(ctx context.Context, prefix string) error {
	_, err := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix, MaxResults: to.Ptr(int32(1))}).NextPage(ctx)
	return err
}

func (c azureContainer) delete(ctx context.Context, key string) error {
	_, err := c.blob(key).Delete(ctx, nil)
	return err
}

// understand says an error of Azure's library anew; see [cloud]. The library's answers
// take ten lines, and its errors of the network hold the whole address, with the token
// if there is one. That a blob is missing is said by its code alone: a container or an
// account that is not there answers with 404, too.
func (c azureContainer) understand(err error) error {
	if ofFile(err) != nil {
		return err
	}
	if said, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return &answer{status: said.StatusCode, code: said.ErrorCode}
	}
	if refused := noToken(err); refused != nil {
		return refused
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		return network.Err
	}
	return err
}

// azureSource finds the kinds of credentials that DefaultAzureCredential has tried, which
// it lists in lines.
var azureSource = regexp.MustCompile(`\n\t(\w+Credential)\b`)

// noToken returns what it means that there is no token of Microsoft Entra's, or nil if
// err is about something else.
func noToken(err error) *credentialsError {
	failed, refused := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if refused && failed.RawResponse != nil {
		return &credentialsError{error: fmt.Errorf("HTTP %d", failed.RawResponse.StatusCode),
			advice: "Microsoft Entra does not accept the credentials; check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"}
	}
	said := err.Error()
	if !refused && !strings.Contains(said, "failed to acquire a token") {
		return nil
	}
	sources := azureSource.FindAllStringSubmatchIndex(said, -1)
	if refused { // by the last one: it was set up, and the others were not
		if len(sources) > 0 {
			said = said[sources[len(sources)-1][2]:]
		}
		return &credentialsError{error: errors.New(fault.Shorten(strings.Join(strings.Fields(said), " "), longestMessage)),
			advice: "there are no credentials; set " + azureCredentials}
	}
	var tried []string
	for _, at := range sources {
		tried = append(tried, said[at[2]:at[3]])
	}
	return &credentialsError{error: errors.New("tried " + strings.Join(tried, ", ")),
		advice: "there are no credentials; set " + azureCredentials, last: true}
}

const azureCredentials = "AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, " +
	"or the variables of a service principal, or give this machine a managed identity"
