package storage

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens a bucket over connections of its own, and gives what closes them:
// the library's would stay open. q is what the library reads from a URL.
func openS3(ctx context.Context, name string, q url.Values) (*blob.Bucket, func(), error) {
	var pathStyle bool
	if q.Has("use_path_style") {
		pathStyle = q.Get("use_path_style") == "true"
		q.Del("use_path_style")
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = probeWriters
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	bucket, err := s3blob.OpenBucket(ctx, client, name, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	return bucket, transport.CloseIdleConnections, err
}
