package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// gcsBucket is a bucket that is spoken to by Google's JSON API. Google's library for it
// brings gRPC with xDS and Envoy, for five requests.
type gcsBucket struct {
	client *http.Client
	server string // https://storage.googleapis.com
	bucket string
	pauses fault.Backoff
}

// openGCS opens a bucket. Without credentials only an emulator is spoken to.
func openGCS(ctx context.Context, u *url.URL, p Place, transport limitedTransport) (cloud, error) {
	if u.RawQuery != "" {
		return nil, errors.New("a gs:// url takes no parameters")
	}
	server := strings.TrimSuffix(p.Endpoint, "/")
	if emulator := os.Getenv("STORAGE_EMULATOR_HOST"); server == "" && emulator != "" {
		server = "http://" + strings.TrimSuffix(strings.TrimPrefix(emulator, "http://"), "/")
	}
	if server == "" {
		server = "https://storage.googleapis.com"
	}
	transport.DisableCompression = true // a sum is of what is stored
	var sender http.RoundTripper = transport
	// Google is spoken to over TLS only. Whoever answers without is an emulator,
	// and no token is sent in the clear.
	if !strings.HasPrefix(server, "http://") {
		var err error
		if sender, err = withGoogleToken(ctx, transport); err != nil {
			return nil, err
		}
	}
	client := &http.Client{Transport: sender, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &gcsBucket{client: client, server: server, bucket: u.Host, pauses: fault.Backoff{Min: time.Second, Max: 5 * time.Second}}, nil
}

// objects returns the address of the bucket's objects, and key, if it is not empty, of one
// of them.
func (b *gcsBucket) objects(prefix, key string, q url.Values) string {
	address := b.server + prefix + "/storage/v1/b/" + url.PathEscape(b.bucket) + "/o"
	if key != "" {
		address += "/" + url.PathEscape(key)
	}
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	return address
}

// get opens an object at an offset; see [cloud].
func (b *gcsBucket) get(ctx context.Context, key string, offset int64, version string) (*object, error) {
	q := url.Values{"alt": {"media"}}
	if version != "" {
		q.Set("generation", version)
	}
	r := gcsRequest{method: http.MethodGet, address: b.objects("", key, q)}
	if offset > 0 {
		r.header = map[string]string{"Range": rangeFrom(offset)}
	}
	response, err := b.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if offset > 0 && response.StatusCode != http.StatusPartialContent {
		_ = response.Body.Close()
		return nil, errors.New("the server sends only whole files")
	}
	o := &object{ReadCloser: response.Body, version: response.Header.Get("X-Goog-Generation")}
	// The sum is of what is stored, which the server may have unpacked.
	if stored := response.Header.Get("X-Goog-Stored-Content-Encoding"); stored == "" || stored == "identity" {
		o.crc32c = sumIn(response.Header)
	}
	return o, nil
}

func rangeFrom(offset int64) string { return fmt.Sprintf("bytes=%d-", offset) }

// gcsObject is what the server says about an object.
type gcsObject struct {
	Name    string    `json:"name"`
	Size    string    `json:"size"`
	Updated time.Time `json:"updated"`
}

type gcsPage struct {
	Items         []gcsObject `json:"items"`
	NextPageToken string      `json:"nextPageToken"`
}

func (b *gcsBucket) list(ctx context.Context, prefix, after string, each func(Info) error) error {
	q := url.Values{"prefix": {prefix}, "startOffset": {after}}
	for {
		page, err := b.page(ctx, q)
		if err != nil {
			return err
		}
		for _, o := range page.Items {
			size, err := strconv.ParseInt(o.Size, 10, 64)
			if err != nil {
				return fmt.Errorf("the server says that %s has %q bytes", o.Name, o.Size)
			}
			if err := each(Info{Name: o.Name, Size: size, Modified: o.Updated}); err != nil {
				return err
			}
		}
		if page.NextPageToken == "" {
			return nil
		}
		q.Set("pageToken", page.NextPageToken)
	}
}

func (b *gcsBucket) any(ctx context.Context, prefix string) error {
	_, err := b.page(ctx, url.Values{"prefix": {prefix}, "maxResults": {"1"}})
	return err
}

func (b *gcsBucket) page(ctx context.Context, q url.Values) (page gcsPage, err error) {
	q.Set("fields", "items(name,size,updated),nextPageToken")
	response, err := b.send(ctx, gcsRequest{method: http.MethodGet, address: b.objects("", "", q)})
	if err != nil {
		if said, ok := errors.AsType[*answer](err); ok && said.status == http.StatusNotFound {
			said.code = "noSuchBucket"
		}
		return page, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return page, fmt.Errorf("the server's list cannot be read: %w", err)
	}
	return page, nil
}

func (b *gcsBucket) delete(ctx context.Context, key string) error {
	return done(b.send(ctx, gcsRequest{method: http.MethodDelete, address: b.objects("", key, nil)}))
}

// done forgets an answer.
func done(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// gcsRequest is a request that can be sent again.
type gcsRequest struct {
	method, address string
	header          map[string]string
	body            func() io.Reader // nil: none
	size            int64            // of the body
}

// send sends a request, and again if it fails for a reason that may pass: all that a
// Store does may be done twice.
func (b *gcsBucket) send(ctx context.Context, r gcsRequest) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := b.once(ctx, r)
		if err == nil || attempt == attempts || !mayPass(ctx, err) {
			return response, err
		}
		if err := fault.Sleep(ctx, b.pauses.Delay(attempt)); err != nil {
			return nil, err
		}
	}
}

func (b *gcsBucket) once(ctx context.Context, r gcsRequest) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if r.body != nil {
		body = r.body()
	}
	request, err := http.NewRequestWithContext(ctx, r.method, r.address, body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = r.size
	for name, value := range r.header {
		request.Header.Set(name, value)
	}
	request.Header.Set("User-Agent", "ampipe")
	response, err := b.client.Do(request)
	if err != nil {
		if network, ok := errors.AsType[*url.Error](err); ok { // the address may be that of an upload, which needs no token
			err = network.Err
		}
		return nil, err
	}
	if response.StatusCode < http.StatusMultipleChoices || response.StatusCode == http.StatusPermanentRedirect {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	return nil, gcsErrorIn(response)
}

// mayPass reports whether a request that failed is sent again.
func mayPass(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if refused, ok := errors.AsType[*credentialsError](err); ok {
		return issuerAway.MatchString(refused.Error())
	}
	if ofFile(err) != nil {
		return false
	}
	said, ok := errors.AsType[*answer](err)
	return !ok || said.status >= http.StatusInternalServerError ||
		said.status == http.StatusTooManyRequests || said.status == http.StatusRequestTimeout
}

// longestError is how much is read of the body of an answer that refuses a request.
const longestError = 64 << 10

func gcsErrorIn(response *http.Response) error {
	e := &answer{status: response.StatusCode}
	body, _ := io.ReadAll(io.LimitReader(response.Body, longestError)) // a part is better than nothing
	var said struct {
		Error struct {
			Message string                    `json:"message"`
			Errors  []struct{ Reason string } `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil {
		e.message = said.Error.Message
		if len(said.Error.Errors) > 0 {
			e.code = said.Error.Errors[0].Reason
		}
	} else if strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		e.message = string(body)
	}
	switch e.status {
	case http.StatusNotFound: // a file is missing, or all of the bucket
		e.code = "notFound"
		if strings.Contains(e.message, "bucket does not exist") {
			e.code = "noSuchBucket"
		}
	case http.StatusPreconditionFailed:
		e.code = "conditionNotMet"
	}
	return e
}

// understand returns err: it comes from here; see [cloud].
func (b *gcsBucket) understand(err error) error { return err }
