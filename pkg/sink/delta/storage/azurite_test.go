package storage_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

// token returns a token for the container of Azurite.
func token(t *testing.T, endpoint string, rights sas.ContainerPermissions) string {
	key, err := blob.NewSharedKeyCredential(storagetest.AzureAccount, storagetest.AzureKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(endpoint+"/lake", key, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.GetSASURL(rights, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(signed, "?")
	return query
}

// TestCredentialsOfAzure goes through the ways to give them, right and wrong.
func TestCredentialsOfAzure(t *testing.T) {
	endpoint := storagetest.Azurite(t)
	all := token(t, endpoint, sas.ContainerPermissions{Read: true, List: true, Create: true, Write: true, Delete: true})
	reader := token(t, endpoint, sas.ContainerPermissions{Read: true, List: true})
	connection := fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;",
		storagetest.AzureAccount, storagetest.AzureKey, endpoint)
	for name, c := range map[string]struct {
		container, endpoint, key, token, connection string
		want                                        string
	}{
		"a key":                 {"lake", endpoint, storagetest.AzureKey, "", "", ""},
		"a token":               {"lake", endpoint, "", all, "", ""},
		"a connection string":   {"lake", "", "", "", connection, ""},
		"another's key":         {"lake", endpoint, "c2VjcmV0", "", "", "check AZURE_STORAGE_ACCOUNT and its key or token"},
		"a reader's token":      {"lake", endpoint, "", reader, "", "access denied; give these credentials the rights"},
		"a token cut short":     {"lake", endpoint, "", all[:len(all)-20], "", "check AZURE_STORAGE_ACCOUNT and its key or token"},
		"no container":          {"nope", endpoint, storagetest.AzureKey, "", "", "the container does not exist"},
		"a token, nobody there": {"lake", "http://127.0.0.1:1/devstoreaccount1", "", all, "", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AZURE_STORAGE_KEY", c.key)
			t.Setenv("AZURE_STORAGE_SAS_TOKEN", c.token)
			t.Setenv("AZURE_STORAGE_CONNECTION_STRING", c.connection)
			p := storage.Place{URL: "azblob://" + c.container + "/credentials/" + url.PathEscape(name), Endpoint: c.endpoint}
			s, err := storage.Open(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			err = storage.Probe(t.Context(), s)
			if c.want == "" && err != nil || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("the probe says %v, want %q", err, c.want)
			}
			if c.want == "connection refused" != (fault.Of(err) == fault.ClassLater) {
				t.Errorf("%v is %v", err, fault.Of(err))
			}
			if strings.Contains(fmt.Sprint(err), "sig=") {
				t.Errorf("the token is in %v", err)
			}
		})
	}
	s, err := storage.Open(t.Context(), storage.Place{URL: "azblob://lake/credentials", Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	if err := s.List(t.Context(), "", "", func(i storage.Info) error { return fmt.Errorf("%s is left", i.Name) }); err != nil {
		t.Error(err)
	}
}
