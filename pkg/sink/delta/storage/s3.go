package storage

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens a bucket over connections of its own, and gives what closes them:
// the library's would stay open. The url may hold the parameters that the library
// knows.
func openS3(ctx context.Context, u *url.URL, p Place) (*blob.Bucket, func(), error) {
	q := u.Query()
	if p.Region != "" {
		q.Set("region", p.Region)
	}
	if p.Endpoint != "" {
		q.Set("endpoint", p.Endpoint)
		if !q.Has("use_path_style") {
			q.Set("use_path_style", "true")
		}
		// Checksums in trailers are news to many compatible servers.
		q.Set("request_checksum_calculation", "when_required")
		q.Set("response_checksum_validation", "when_required")
		if p.Region == "" && !q.Has("region") {
			q.Set("region", "us-east-1")
		}
	}
	var pathStyle bool
	if q.Has("use_path_style") {
		pathStyle = q.Get("use_path_style") == "true"
		q.Del("use_path_style")
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	transport := ownTransport()
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = pathStyle })
	bucket, err := s3blob.OpenBucket(ctx, client, u.Host, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	return bucket, transport.CloseIdleConnections, err
}

// answeredByS3 returns what the server has said if err comes from there, or nil.
func answeredByS3(err error) *answer {
	var coded interface { // smithy.APIError, without its package
		ErrorCode() string
		ErrorMessage() string
	}
	if !errors.As(err, &coded) {
		return nil
	}
	a := &answer{code: coded.ErrorCode(), message: coded.ErrorMessage()}
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) {
		a.status = response.HTTPStatusCode()
	}
	return a
}

// issuerAway is in the error of a library that has credentials to ask for others with, and
// whose question those who issue them could not take.
var issuerAway = regexp.MustCompile(`operation error (?:STS|SSO|SSO OIDC): .*(?:request send failed|StatusCode: (?:429|5\d\d))|` +
	`oauth2: cannot fetch token: (?:Post |Get |429|5\d\d)`)

// noCredentials returns what to do about an error that the library has before it asks
// the server, "" if it is another, or one that passes.
func noCredentials(err error) string {
	if issuerAway.MatchString(err.Error()) {
		return ""
	}
	if strings.Contains(err.Error(), "failed to refresh cached credentials") {
		return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
	}
	if strings.Contains(err.Error(), "oauth2: ") {
		return "Google does not accept the credentials; check GOOGLE_APPLICATION_CREDENTIALS"
	}
	return ""
}
