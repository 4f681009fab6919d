package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/ampipe/ampipe/pkg/fault"
)

// isMissing reports whether the container answered that it has no such blob. An
// answer of 404 alone does not: a container or an account that is not there answers
// it, too.
func isMissing(err error) bool { return bloberror.HasCode(err, bloberror.BlobNotFound) }

// failed classes an error of Azure's library. It is said anew: the library's
// answers take ten lines, and its errors of the network hold the whole address,
// with the token if there is one.
func (c *Container) failed(ctx context.Context, verb, name string, err error) error {
	if err == nil {
		c.known.Store(true)
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
		c.known.Store(true)
		return answer{status: said.StatusCode, code: said.ErrorCode}.failure(what, azureCodes)
	}
	if refused := c.noToken(err); refused != nil {
		return refused.failure(what, c.known.Load())
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		err = network.Err
	}
	return fault.Later(fmt.Errorf("%s: %w", what, err), 0)
}

// azureSource finds the kinds of credentials that DefaultAzureCredential has tried, which
// it lists in lines.
var azureSource = regexp.MustCompile(`\n\t(\w+Credential)\b`)

// noToken returns what it means that there is no token of Microsoft Entra's, or nil if
// err is about something else.
func (c *Container) noToken(err error) *credentialsError {
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
