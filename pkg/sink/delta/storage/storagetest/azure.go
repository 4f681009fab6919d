package storagetest

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// The account that every Azurite has, and its key, which is no secret:
// https://learn.microsoft.com/azure/storage/common/storage-connect-azurite.
const (
	AzureAccount = "devstoreaccount1"
	AzureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azure sets the credentials that Azurite accepts, and no others.
func Azure(t testing.TB) {
	for name, value := range map[string]string{"AZURE_STORAGE_ACCOUNT": AzureAccount, "AZURE_STORAGE_KEY": AzureKey,
		"AZURE_STORAGE_SAS_TOKEN": "", "AZURE_STORAGE_CONNECTION_STRING": ""} {
		t.Setenv(name, value)
	}
}

// Azurite returns the address of the Azurite of this run, with its account. It has the
// container "lake".
func Azurite(t testing.TB) string {
	endpoint := os.Getenv("AMPIPE_TEST_AZURE")
	if endpoint == "" {
		t.Skip("AMPIPE_TEST_AZURE is not set: no Azurite; scripts/azurite run … starts one")
	}
	Azure(t)
	key, err := blob.NewSharedKeyCredential(AzureAccount, AzureKey)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	client, err := container.NewClientWithSharedKeyCredential(endpoint+"/lake", key,
		&container.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		t.Fatal(err)
	}
	return endpoint
}

// Refuse answers every request as Azure does when it refuses one.
func Refuse(status int, code string) Between {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Ms-Error-Code", code)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}
