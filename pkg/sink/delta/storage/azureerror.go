package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		said := fmt.Errorf("%s: %s", what, answered(answer))
		switch advice := adviceOn(answer); {
		case advice != "":
			return fault.Permanent(fmt.Errorf("%w: %s", said, advice))
		case answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusNotImplemented:
			return fault.Permanent(said)
		default:
			return fault.Later(said, 0)
		}
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

// answered is what the server said, in a line.
func answered(r *azcore.ResponseError) string {
	if r.ErrorCode == "" {
		return fmt.Sprintf("the server answered HTTP %d", r.StatusCode)
	}
	return fmt.Sprintf("the server answered %s (HTTP %d)", r.ErrorCode, r.StatusCode)
}

// adviceOn tells what to do about an answer that repeating does not change.
func adviceOn(r *azcore.ResponseError) string {
	switch bloberror.Code(r.ErrorCode) {
	case bloberror.ContainerNotFound:
		return "the container does not exist; create it, or correct url and endpoint"
	case bloberror.ContainerBeingDeleted, bloberror.ContainerDisabled, bloberror.AccountIsDisabled:
		return "use another container"
	case bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo, bloberror.NoAuthenticationInformation:
		return "the server does not accept the credentials; check AZURE_STORAGE_ACCOUNT and its key or token, and this machine's clock"
	case bloberror.AuthorizationFailure:
		return "the server does not let these credentials or this machine in; check AZURE_STORAGE_ACCOUNT and its key or token, " +
			"and the account's network rules"
	}
	switch r.StatusCode {
	case http.StatusForbidden:
		return accessDenied
	case http.StatusUnauthorized:
		return "the server does not accept the credentials; check " + azureCredentials
	case http.StatusNotFound:
		return "there is no such thing at that address; correct url, AZURE_STORAGE_ACCOUNT and endpoint"
	}
	return ""
}
