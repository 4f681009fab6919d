package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// openAzure opens a container; see [clouds].
func openAzure(_ context.Context, u *url.URL, p Place, transport limitedTransport) (cloud, error) {
	client, err := azureClient(u, p.Endpoint, &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport},
		// Within seconds; who calls tries again, and says what is wrong.
		Retry:     policy.RetryOptions{MaxRetries: attempts - 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second},
		Telemetry: policy.TelemetryOptions{ApplicationID: "ampipe"},
	}})
	return azureContainer{client}, err
}

// azureClient takes the credentials from the environment, under the names that
// gocloud.dev and Azure's own tools give them: an account's key, a token, a
// connection string, or what DefaultAzureCredential finds.
func azureClient(u *url.URL, endpoint string, o *container.ClientOptions) (*container.Client, error) {
	if u.RawQuery != "" {
		return nil, errors.New("an azblob:// url takes no parameters; the account is AZURE_STORAGE_ACCOUNT, or in endpoint")
	}
	account, key := os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY")
	token := strings.TrimPrefix(os.Getenv("AZURE_STORAGE_SAS_TOKEN"), "?")
	if connection := os.Getenv("AZURE_STORAGE_CONNECTION_STRING"); connection != "" && key == "" && token == "" {
		if endpoint != "" {
			return nil, errors.New("endpoint and AZURE_STORAGE_CONNECTION_STRING both name a server; keep one")
		}
		client, err := container.NewClientFromConnectionString(connection, u.Host, o)
		if err != nil { // it may hold the key
			return nil, errors.New("AZURE_STORAGE_CONNECTION_STRING is not one; copy it from the account's access keys")
		}
		return client, nil
	}
	if endpoint == "" {
		if account == "" {
			return nil, errors.New("AZURE_STORAGE_ACCOUNT is not set; it names the account that the container is in")
		}
		endpoint = "https://" + account + ".blob.core.windows.net"
	}
	at := strings.TrimSuffix(endpoint, "/") + "/" + u.Host
	switch {
	case key != "":
		if account == "" {
			return nil, errors.New("AZURE_STORAGE_KEY is set and AZURE_STORAGE_ACCOUNT is not; set the account that the key is of")
		}
		shared, err := blob.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is not a key: it has to be in Base64")
		}
		return container.NewClientWithSharedKeyCredential(at, shared, o)
	case token != "":
		return container.NewClientWithNoCredential(at+"?"+token, o)
	case strings.HasPrefix(endpoint, "http://"):
		return nil, errors.New("over http:// only AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN can be used; set one, or use https://")
	}
	found, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w; set %s", err, azureCredentials)
	}
	return container.NewClient(at, found, o)
}
