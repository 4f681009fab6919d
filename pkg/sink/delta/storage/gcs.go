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

	gcs "cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

// openGCS opens a bucket over connections of its own, and gives what closes them.
// The library's opener prints to the standard output, and goes on without
// credentials if it finds none.
func openGCS(ctx context.Context, u *url.URL, p Place) (*blob.Bucket, func(), error) {
	if u.RawQuery != "" {
		return nil, nil, errors.New("a gs:// url takes no parameters")
	}
	endpoint := p.Endpoint
	if emulator := os.Getenv("STORAGE_EMULATOR_HOST"); endpoint == "" && emulator != "" {
		endpoint = "http://" + strings.TrimPrefix(emulator, "http://")
	}
	transport := ownTransport()
	client := gcp.NewAnonymousHTTPClient(transport)
	options := []option.ClientOption{option.WithoutAuthentication()}
	// Google is spoken to over TLS only. Whoever answers without is an emulator,
	// and no token is sent in the clear.
	if !strings.HasPrefix(endpoint, "http://") {
		found, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("there are no credentials; set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, "+
				"or run gcloud auth application-default login: %w", err)
		}
		if client, err = gcp.NewHTTPClient(transport, gcp.CredentialsTokenSource(found)); err != nil {
			return nil, nil, err
		}
	}
	if endpoint != "" {
		options = append(options, option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/storage/v1/"), gcs.WithJSONReads())
	}
	options = append(options, option.WithHTTPClient(&client.Client))
	bucket, err := gcsblob.OpenBucket(ctx, client, u.Host, &gcsblob.Options{ClientOptions: options})
	if err != nil {
		return nil, nil, err
	}
	var library *gcs.Client
	if bucket.As(&library) {
		// By itself it tries for ever, and says nothing. All that a Store does may
		// be done twice.
		library.SetRetry(gcs.WithMaxAttempts(4), gcs.WithPolicy(gcs.RetryAlways),
			gcs.WithBackoff(gax.Backoff{Initial: 500 * time.Millisecond, Max: 5 * time.Second, Multiplier: 2}))
	}
	return bucket, transport.CloseIdleConnections, nil
}

// answeredByGoogle returns what the server has said if err comes from there, or nil.
func answeredByGoogle(err error) *answer {
	a := &answer{status: http.StatusNotFound}
	if said, ok := errors.AsType[*googleapi.Error](err); ok {
		a.status, a.message = said.Code, said.Message
		if len(said.Errors) > 0 {
			a.code = said.Errors[0].Reason
		}
	} else if !errors.Is(err, gcs.ErrBucketNotExist) && !errors.Is(err, gcs.ErrObjectNotExist) {
		return nil
	}
	// A file is missing, or all of the bucket.
	if a.status == http.StatusNotFound {
		a.code = "notFound"
		if errors.Is(err, gcs.ErrBucketNotExist) || strings.Contains(a.message, "bucket does not exist") {
			a.code = "noSuchBucket"
		}
	}
	return a
}
