package storage

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// issuer is a server that issues credentials.
func issuer(t *testing.T, status int, body string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server
}

func written(t *testing.T, name string, content []byte) string {
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const googleToken = `{"access_token":"one","token_type":"Bearer","expires_in":3600,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`

// TestApplicationDefaultCredentials goes through the kinds of Google's credentials, and
// what may be wrong with who issues them.
func TestApplicationDefaultCredentials(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	account := func(from string) map[string]any {
		return map[string]any{"type": "service_account", "client_email": "a@b", "private_key": private, "private_key_id": "k", "token_uri": from}
	}
	user := func(from string) map[string]any {
		return map[string]any{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c", "token_uri": from}
	}
	federated := func(from string) map[string]any {
		return map[string]any{"type": "external_account", "audience": "//iam.googleapis.com/projects/1/x", "token_url": from,
			"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": map[string]any{"file": written(t, "jwt", []byte("j"))}}
	}
	for name, c := range map[string]struct {
		file   func(issuer string) map[string]any
		status int
		body   string
		class  fault.Class
		want   string // empty: a token
	}{
		"a service account":            {account, 200, googleToken, 0, ""},
		"a user":                       {user, 200, googleToken, 0, ""},
		"an identity of another cloud": {federated, 200, googleToken, 0, ""},
		"a key that was deleted":       {account, 400, `{"error":"invalid_grant"}`, fault.ClassPermanent, "Google does not accept the credentials; check GOOGLE_APPLICATION_CREDENTIALS"},
		"a user who is gone":           {user, 400, `{"error":"invalid_grant"}`, fault.ClassPermanent, "Google does not accept the credentials"},
		"an unknown identity":          {federated, 403, `{"error":"access_denied"}`, fault.ClassPermanent, "Google does not accept the credentials"},
		"an account, trouble":          {account, 503, `{}`, fault.ClassLater, "what issues the credentials does not answer"},
		"a user, trouble":              {user, 503, `{}`, fault.ClassLater, "what issues the credentials does not answer"},
		"an identity, trouble":         {federated, 503, `{}`, fault.ClassLater, "what issues the credentials does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := json.Marshal(c.file(issuer(t, c.status, c.body).URL))
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", written(t, "adc.json", content))
			class, said := askGoogle(t)
			if class != c.class || !strings.Contains(said, c.want) || (said == "") != (c.want == "") {
				t.Errorf("class %v, %q, want %v, %q", class, said, c.class, c.want)
			}
		})
	}
}

// askGoogle sends a request with the credentials of the environment to a server that
// checks the token, and returns what failed.
func askGoogle(t *testing.T) (fault.Class, string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer one" {
			t.Errorf("the token is %q", r.Header.Get("Authorization"))
		}
		_, _ = fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	transport := ownTransport()
	defer transport.CloseIdleConnections()
	sender, err := withGoogleToken(t.Context(), transport)
	if err != nil {
		t.Fatal(err)
	}
	b := &Bucket{name: "gs://lake", transport: transport,
		cloud: &gcsBucket{client: &http.Client{Transport: sender}, server: server.URL, bucket: "lake",
			pauses: fault.Backoff{Min: time.Millisecond, Max: time.Millisecond}}}
	if err := b.Accessible(t.Context()); err != nil {
		return fault.Of(err), err.Error()
	}
	return 0, ""
}

const stsAnswer = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>` +
	`<Credentials><AccessKeyId>one</AccessKeyId><SecretAccessKey>two</SecretAccessKey><SessionToken>three</SessionToken>` +
	`<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

// TestCredentialsOfAmazon goes through the places where they are looked for.
func TestCredentialsOfAmazon(t *testing.T) {
	answers := func(status int, body string) string { return issuer(t, status, body).URL }
	const expires = `"Expiration":"2099-01-01T00:00:00Z"`
	pod := func(url string) map[string]string {
		return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}
	}
	eks := func(url string) map[string]string {
		return map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": written(t, "token", []byte("j")), "AWS_ENDPOINT_URL_STS": url}
	}
	machine := func(url string) map[string]string {
		return map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
	}
	profile := func(text string) map[string]string {
		return map[string]string{"AWS_SHARED_CREDENTIALS_FILE": written(t, "credentials", []byte("[team]\n"+text)), "AWS_PROFILE": "team"}
	}
	const nobody = "http://127.0.0.1:1"
	for name, c := range map[string]struct {
		env   map[string]string
		query string
		class fault.Class
		want  string // empty: credentials
	}{
		"keys":                     {map[string]string{"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two"}, "", 0, ""},
		"a profile":                {profile("aws_access_key_id = one\naws_secret_access_key = two\n"), "", 0, ""},
		"a profile with a command": {profile(`credential_process = echo '{"Version":1,"AccessKeyId":"one","SecretAccessKey":"two"}'` + "\n"), "", 0, ""},
		"a pod":                    {pod(answers(200, `{"AccessKeyId":"one","SecretAccessKey":"two","Token":"t",`+expires+`}`)), "", 0, ""},
		"a pod, nobody there":      {pod(nobody), "", fault.ClassLater, "what issues the credentials does not answer"},
		"a web identity":           {eks(answers(200, stsAnswer)), "", 0, ""},
		"a web identity of a url": {map[string]string{"AWS_ENDPOINT_URL_STS": answers(200, stsAnswer)},
			"role=arn:aws:iam::1:role/r&role_duration=1h&web_identity_token_file=" + url.QueryEscape(written(t, "token", []byte("j"))), 0, ""},
		"a web identity, refused": {eks(answers(403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>")), "",
			fault.ClassPermanent, "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"},
		"a web identity, nobody there": {eks(nobody), "", fault.ClassLater, "what issues the credentials does not answer"},
		"nothing, and no metadata service": {machine(nobody), "", fault.ClassPermanent,
			"there are no credentials: none in the environment (AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_…), none in the profile, and none from the machine's metadata service"},
		"a machine without a role": {machine(answers(404, "")), "", fault.ClassPermanent, "none from the machine's metadata service"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
				t.Setenv(name, "")
			}
			for name, value := range map[string]string{"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
				"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "eu-west-1"} {
				t.Setenv(name, value)
			}
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			q, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := s3Config(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			found, err := cfg.Credentials.Retrieve(ctx)
			if err == nil && (found.AccessKeyID != "one" || found.SecretAccessKey != "two") || (err == nil) != (c.want == "") {
				t.Fatalf("found %q, %v", found.AccessKeyID, err)
			}
			if err == nil {
				return
			}
			err = (&Bucket{name: "s3://lake", cloud: &s3Bucket{}}).failed(ctx, "write", "x", err)
			if fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("class %v, %v, want %v, %q", fault.Of(err), err, c.class, c.want)
			}
		})
	}
}

// TestParametersOfS3 has urls with parameters that cannot be.
func TestParametersOfS3(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	for query, want := range map[string]string{
		"":                                   "the bucket's region is not known; set region, or AWS_REGION",
		"dualstack=yes&region=x":             `the parameter dualstack of the url is "yes"`,
		"rate_limiter_capacity=-1":           "the parameter rate_limiter_capacity",
		"request_checksum_calculation=never": "write when_supported or when_required",
		"role_duration=1h&region=x":          "write role=arn:…",
		"role=admin&region=x":                "write role=arn:…",
		"role=arn:aws:iam::1:role/r":         "a role needs a region",
		"role=arn:aws:iam::1:role/r&region=x&role_duration=long":                           "write it as 1h",
		"role=arn:aws:iam::1:role/r&region=x&anonymous=true":                               "exclude each other",
		"role=arn:aws:iam::1:role/r&region=x&web_identity_token_file=f&role_external_id=e": "exclude each other",
		"profile=nobody&region=x":                                                          "nobody",
	} {
		_, err := Open(t.Context(), Place{URL: "s3://lake/x?" + query})
		if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	s, err := Open(t.Context(), Place{URL: "s3://lake/x?dualstack=true&fips=true&rate_limiter_capacity=9&use_path_style=true&anonymous=true", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestCredentialsOfEntra reads what Microsoft's library says when there is no token.
func TestCredentialsOfEntra(t *testing.T) {
	for _, name := range []string{"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"} {
		t.Setenv(name, "")
	}
	t.Setenv("PATH", t.TempDir()) // no az
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "dev")
	s, err := Open(t.Context(), Place{URL: "azblob://lake/x", Endpoint: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	c := s.(*Bucket)
	err = c.Accessible(t.Context())
	if fault.Of(err) != fault.ClassPermanent || err == nil || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "there are no credentials; set AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY") || !strings.Contains(err.Error(), "tried AzureCLICredential") {
		t.Errorf("class %v: %v", fault.Of(err), err)
	}
	c.known.Store(true)
	if err := c.Accessible(t.Context()); fault.Of(err) != fault.ClassLater {
		t.Errorf("with credentials before: class %v: %v", fault.Of(err), err)
	}
}
