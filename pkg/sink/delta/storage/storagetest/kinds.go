// Package storagetest has, for tests, the kinds of storage that a Delta table can lie
// in: a folder, and servers that speak as S3, Google Cloud Storage and Azure do.
package storagetest

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Kind is a kind of storage.
type Kind struct {
	Name string
	// Place returns a new place there, that several processes can share. It sets the
	// credentials in the environment, and skips the test if there is no such server.
	Place func(t testing.TB) storage.Place
}

// Kinds are all kinds, those that need a server of their own included.
func Kinds() []Kind {
	return []Kind{
		{"folder", func(t testing.TB) storage.Place { return storage.Place{Path: filepath.Join(t.TempDir(), "table")} }},
		{"fake S3", func(t testing.TB) storage.Place { return onS3(t, S3(t, nil)) }},
		{"MinIO", func(t testing.TB) storage.Place { return onS3(t, MinIO(t)) }},
		{"fake GCS", func(t testing.TB) storage.Place {
			return storage.Place{URL: "gs://lake/" + folder(), Endpoint: GCS(t, nil)}
		}},
		{"Azurite", func(t testing.TB) storage.Place {
			return storage.Place{URL: "azblob://lake/" + folder(), Endpoint: Azurite(t)}
		}},
	}
}

func onS3(t testing.TB, endpoint string) storage.Place {
	AWS(t)
	return storage.Place{URL: "s3://lake/" + folder(), Endpoint: endpoint}
}

// folder returns a new folder in a bucket.
func folder() string { return "folder/" + strings.ToLower(rand.Text()) }

// Secret is the password of S3 here. It must not be in an error.
const Secret = "minioadmin"

// AWS sets the credentials that MinIO and the fake accept, and no others.
func AWS(t testing.TB) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "minioadmin", "AWS_SECRET_ACCESS_KEY": Secret,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
}

// MinIO returns the address of the MinIO of this run.
func MinIO(t testing.TB) string {
	endpoint := os.Getenv("AMPIPE_TEST_S3")
	if endpoint == "" {
		t.Skip("AMPIPE_TEST_S3 is not set: no MinIO; scripts/minio run … starts one")
	}
	return endpoint
}
