package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// withGoogleToken returns a transport that adds what application default credentials
// hand out: a file of a service account, of a user or of an identity of another cloud,
// or the machine's own.
func withGoogleToken(ctx context.Context, transport limitedTransport) (http.RoundTripper, error) {
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: transport})
	found, err := google.FindDefaultCredentials(ctx, googleScope)
	if err != nil {
		tried := ""
		if strings.Contains(err.Error(), "could not find default credentials") {
			tried = ": GOOGLE_APPLICATION_CREDENTIALS is not set, gcloud has written no file, and no metadata service of Google's answers"
		}
		return nil, fmt.Errorf("there are no credentials%s; set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, "+
			"or run gcloud auth application-default login: %w", tried, err)
	}
	return &oauth2.Transport{Source: namedTokens{found.TokenSource}, Base: transport}, nil
}

// namedTokens says of an error that it is about credentials.
type namedTokens struct{ oauth2.TokenSource }

func (t namedTokens) Token() (*oauth2.Token, error) {
	token, err := t.TokenSource.Token()
	if err != nil {
		advice := "Google does not accept the credentials; check GOOGLE_APPLICATION_CREDENTIALS"
		if _, ok := errors.AsType[metadata.NotDefinedError](err); ok {
			advice = "there are no credentials: this machine has no service account; give it one, or set GOOGLE_APPLICATION_CREDENTIALS"
		}
		return nil, &credentialsError{error: err, advice: advice}
	}
	return token, nil
}
