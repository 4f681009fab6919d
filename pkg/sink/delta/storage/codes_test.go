package storage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"

	"github.com/ampipe/ampipe/pkg/fault"
)

// The codes that each cloud's documentation and library publish.
var (
	//go:embed testdata/s3codes.txt
	s3Published string
	//go:embed testdata/gcscodes.txt
	gcsPublished string
	//go:embed testdata/azurecodes.txt
	azurePublished string
	// Those of operations that ampipe does not use: of making and configuring buckets,
	// accounts and containers, of forms, policies, websites, torrents, SOAP and select, of
	// leases, copies, snapshots, tiers, and of blobs of pages and those that are appended to.
	//go:embed testdata/s3unasked.txt
	s3Unasked string
	//go:embed testdata/azureunasked.txt
	azureUnasked string
)

// coded is an error of S3's library.
type coded struct {
	code   string
	status int
}

func (c coded) Error() string                 { return "operation error S3: PutObject, api error " + c.code }
func (c coded) ErrorCode() string             { return c.code }
func (c coded) ErrorMessage() string          { return "no" }
func (c coded) ErrorFault() smithy.ErrorFault { return smithy.FaultServer }
func (c coded) HTTPStatusCode() int           { return c.status }

// TestEveryCodeIsDecided fails for a published code that nobody has decided about.
func TestEveryCodeIsDecided(t *testing.T) {
	t.Parallel()
	amazon, google := &Bucket{name: "s3://lake/x", cloud: &s3Bucket{}}, &Bucket{name: "gs://lake/x", cloud: &gcsBucket{}}
	microsoft := &Bucket{name: "azblob://lake/x", cloud: azureContainer{}}
	for cloud, of := range map[string]struct {
		published string
		unasked   string
		least     int
		failed    func(code string) error
	}{
		"S3": {s3Published, s3Unasked, 150, func(code string) error {
			return amazon.failed(context.Background(), "write", "a", coded{code, 400})
		}},
		"Google": {gcsPublished, "", 60, func(code string) error {
			return google.failed(context.Background(), "write", "a", &answer{status: 400, code: code})
		}},
		"Azure": {azurePublished, azureUnasked, 110, func(code string) error {
			return microsoft.failed(context.Background(), "write", "a", &azcore.ResponseError{StatusCode: 400, ErrorCode: code})
		}},
	} {
		published := strings.Fields(of.published)
		if len(published) < of.least {
			t.Errorf("%s: only %d codes were read", cloud, len(published))
		}
		for _, code := range published {
			a, decided := serverCodes.find(code)
			if decided == slices.Contains(strings.Fields(of.unasked), code) || (decided && a.text == "") {
				t.Errorf("%s: nothing, or two things, are decided for %s", cloud, code)
				continue
			}
			if !decided {
				continue
			}
			err := of.failed(code)
			if errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
				continue // it is asked about
			}
			if fault.Of(err) != a.class || !strings.Contains(err.Error(), code+" (HTTP 400)") || !strings.HasSuffix(err.Error(), "; "+a.text) {
				t.Errorf("%s: %s is classed as %v: %v", cloud, code, fault.Of(err), err)
			}
		}
	}
}

// TestOfTwoCloudsTheSameIsDecided names what people meet.
func TestOfTwoCloudsTheSameIsDecided(t *testing.T) {
	t.Parallel()
	for class, answers := range map[fault.Class][]answer{
		fault.ClassLater: {{code: "SlowDown"}, {code: "InternalError"}, {code: "RequestTimeTooSkewed"}, {code: "ConditionalRequestConflict"},
			{code: "rateLimitExceeded"}, {code: "backendError"}, {code: "ServerBusy"}, {code: "OperationTimedOut"},
			{status: 503}, {status: 502, code: "new"}, {status: 429}},
		fault.ClassPermanent: {{code: "AccessDenied"}, {code: "NoSuchBucket"}, {code: "ExpiredToken"}, {code: "InvalidAccessKeyId"},
			{code: "forbidden"}, {code: "authError"}, {code: "ContainerNotFound"}, {code: "AuthorizationPermissionMismatch"},
			{status: 403}, {status: 501, code: "new"}},
		fault.ClassAgain: {{status: 418}, {}},
	} {
		for _, a := range answers {
			if known := a.decide(); known.class != class || known.text == "" {
				t.Errorf("%+v is %v, want %v: %q", a, known.class, class, known.text)
			}
		}
	}
	for _, table := range []decisions{serverCodes, errnos} {
		seen := map[string]bool{}
		for _, a := range table {
			for _, code := range strings.Fields(a.codes) {
				if seen[code] {
					t.Errorf("two things are decided for %s", code)
				}
				seen[code] = true
			}
		}
	}
}

// TestWhatAServerSaysFitsALine has a server that answers at length.
func TestWhatAServerSaysFitsALine(t *testing.T) {
	t.Parallel()
	a := answer{status: 400, code: "InvalidRequest", message: "a\nlong " + strings.Repeat("ä", 1000)}
	text := fmt.Sprint((&a).failure("write a in s3://lake"))
	if strings.Contains(text, "\n") || len(text) > 700 || !strings.Contains(text, "a long ää") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// TestWhoIssuesCredentialsIsAway: who issues credentials may be away for a moment, hours
// after they were first asked for: that is waited for, and credentials that are not there
// are not. A metadata service that does not answer says only that there is none, unless
// there were credentials before.
func TestWhoIssuesCredentialsIsAway(t *testing.T) {
	t.Parallel()
	const s3 = "failed to refresh cached credentials, "
	const noMetadata = s3 + "no EC2 IMDS role found, operation error ec2imds: GetMetadata, request canceled, context deadline exceeded"
	for _, c := range []struct {
		text      string
		last, had bool
		want      fault.Class
	}{
		{s3 + "operation error STS: AssumeRoleWithWebIdentity, exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , " +
			"request send failed, Post \"https://sts.eu-west-1.amazonaws.com/\": dial tcp: lookup sts.eu-west-1.amazonaws.com: no such host", false, false, fault.ClassLater},
		{s3 + "operation error STS: AssumeRole, https response error StatusCode: 503, RequestID: , deserialization failed", false, false, fault.ClassLater},
		{s3 + "operation error STS: AssumeRole, https response error StatusCode: 400, RequestID: , deserialization failed", false, true, fault.ClassPermanent},
		{noMetadata, true, false, fault.ClassPermanent},
		{noMetadata, true, true, fault.ClassLater},
		{s3 + "no EC2 IMDS role found, operation error ec2imds: GetMetadata, http response error StatusCode: 404", true, true, fault.ClassPermanent},
		{"failed to get shared config profile, nope", false, true, fault.ClassPermanent},
		{`oauth2: cannot fetch token: Post "https://oauth2.googleapis.com/token": dial tcp: i/o timeout`, false, false, fault.ClassLater},
		{"oauth2: cannot fetch token: 503 Service Unavailable", false, false, fault.ClassLater},
		{"oauth2: cannot fetch token: 401 Unauthorized", false, false, fault.ClassPermanent},
		{`oauth2: "invalid_grant" "Invalid JWT Signature."`, false, true, fault.ClassPermanent},
		{"oauth2/google: status code 502: bad gateway", false, false, fault.ClassLater},
	} {
		b := &Bucket{name: "s3://lake", cloud: &s3Bucket{}}
		b.known.Store(c.had)
		err := b.failed(t.Context(), "write", "x", fmt.Errorf("operation error S3: PutObject, get identity: %w",
			&credentialsError{error: errors.New(c.text), advice: "there are no credentials", last: c.last}))
		if got := fault.Of(err); got != c.want {
			t.Errorf("%s: class %v, want %v", c.text, got, c.want)
		}
	}
}
