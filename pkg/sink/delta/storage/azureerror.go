package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/ampipe/ampipe/pkg/fault"
)

// isMissing tells whether the container answered that it has no such blob. An
// answer of 404 alone does not: a container or an account that is not there gives
// it, too.
func isMissing(err error) bool { return bloberror.HasCode(err, bloberror.BlobNotFound) }

// failed classes an error of Azure's library. It is said anew: the library's
// answers take ten lines, and its errors of the network hold the whole address,
// with the token if there is one.
func (c *Container) failed(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, name, context.Cause(ctx))
	}
	if isMissing(err) {
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
	}
	if bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet) {
		return fmt.Errorf("%s %s: %w", verb, name, ErrExists)
	}
	what := fmt.Sprintf("%s %s in %s", verb, name, c.name)
	if file := ofFile(err); file != nil {
		return Classify(fmt.Errorf("%s: %w", what, file))
	}
	if said, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return answer{status: said.StatusCode, code: said.ErrorCode}.failure(what, azureCodes)
	}
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
		return fault.Permanent(fmt.Errorf("%s: Microsoft Entra does not accept the credentials (HTTP %d); "+
			"check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET", what, failed.RawResponse.StatusCode))
	}
	if strings.Contains(err.Error(), "failed to acquire a token") {
		return fault.Permanent(fmt.Errorf("%s: there are no credentials; set %s", what, azureCredentials))
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		err = network.Err
	}
	return fault.Later(fmt.Errorf("%s: %w", what, err), 0)
}

const azureCredentials = "AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, " +
	"or the variables of a service principal, or give this machine a managed identity"
