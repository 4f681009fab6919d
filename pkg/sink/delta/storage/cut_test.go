package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

// opened opens a place until the test ends.
func opened(t *testing.T, p storage.Place) storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, s) })
	return s
}

// TestAnAnswerThatBreaksOffIsResumed has servers whose answers end in the middle, or are
// changed on the way.
func TestAnAnswerThatBreaksOffIsResumed(t *testing.T) {
	storagetest.AWS(t)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	var reads atomic.Int64 // of the file
	// cut answers the first so many requests for the file with half of what is asked for.
	cut := func(answers int64) storagetest.Between {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "file") {
				next.ServeHTTP(w, r)
				return
			}
			whole := httptest.NewRecorder()
			next.ServeHTTP(whole, r)
			for name, values := range whole.Header() {
				w.Header()[name] = values
			}
			body := whole.Body.Bytes()
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.WriteHeader(whole.Code)
			if reads.Add(1) > answers {
				_, _ = w.Write(body)
				return
			}
			_, _ = w.Write(body[:len(body)/2])
			panic(http.ErrAbortHandler)
		}
	}
	changed := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "file") {
			whole := httptest.NewRecorder()
			next.ServeHTTP(whole, r)
			w.Header().Set("X-Goog-Hash", whole.Header().Get("X-Goog-Hash"))
			_, _ = w.Write(append(whole.Body.Bytes()[1:], 'x'))
			return
		}
		next.ServeHTTP(w, r)
	}
	amazon := func(b storagetest.Between) storage.Place {
		return storage.Place{URL: "s3://lake/x", Endpoint: storagetest.S3(t, b)}
	}
	google := func(b storagetest.Between) storage.Place {
		return storage.Place{URL: "gs://lake/x", Endpoint: storagetest.GCS(t, b)}
	}
	storagetest.Azure(t)
	microsoft := func(b storagetest.Between) storage.Place {
		blob := &oneBlob{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b(w, r, blob) }))
		t.Cleanup(server.Close)
		return storage.Place{URL: "azblob://lake/x", Endpoint: server.URL}
	}
	for name, c := range map[string]struct {
		place storage.Place
		reads int64
		want  string
	}{
		"Azure, cut three times":  {microsoft(cut(3)), 4, ""},
		"Azure, cut for ever":     {microsoft(cut(99)), 4, "unexpected EOF"},
		"S3, cut three times":     {amazon(cut(3)), 4, ""},
		"S3, cut again and again": {amazon(cut(99)), 4, "unexpected EOF"},
		"Google, cut three times": {google(cut(3)), 4, ""},
		"Google, cut for ever":    {google(cut(99)), 4, "unexpected EOF"},
		"Google, changed":         {google(changed), 0, "the bytes were changed on the way"},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, c.place)
			if err := s.Write(t.Context(), "file", bytes.NewReader(content), int64(len(content))); err != nil {
				t.Fatal(err)
			}
			reads.Store(0)
			got, err := s.Read(t.Context(), "file")
			if c.want == "" && (err != nil || !bytes.Equal(got, content)) {
				t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
			}
			if c.want != "" && (fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), c.want)) {
				t.Errorf("class %v, %v, want %q", fault.Of(err), err, c.want)
			}
			if reads.Load() != c.reads {
				t.Errorf("the file was asked for %d times, want %d", reads.Load(), c.reads)
			}
		})
	}
}

// oneBlob is a server of Azure's that has one blob.
type oneBlob struct{ content []byte }

func (o *oneBlob) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		o.content, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.Header().Set("ETag", `"1"`)
	r.Header.Set("Range", r.Header.Get("X-Ms-Range"))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.content))
}

// upload is a server that takes an upload in parts as Google documents it, and has
// trouble with it.
type upload struct {
	t        *testing.T
	trouble  []func(w http.ResponseWriter, body []byte) bool // of each part; false: none
	got      []byte
	finished bool
	asked    int
}

func (u *upload) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		u.t.Error(err)
	}
	where := r.Header.Get("Content-Range")
	var from, to, size int
	switch {
	case r.Method == http.MethodPost:
		if r.URL.Query().Get("uploadType") != "resumable" || !bytes.Contains(body, []byte(`"name":"x/file"`)) {
			u.t.Errorf("the upload begins with %s %s", r.URL, body)
		}
		w.Header().Set("Location", "http://"+r.Host+"/session?upload_id=hunter2")
		return
	case strings.HasPrefix(where, "bytes */"):
		u.asked++
	default:
		if _, err := fmt.Sscanf(where, "bytes %d-%d/%d", &from, &to, &size); err != nil || from != len(u.got) || to-from+1 != len(body) {
			u.t.Errorf("a part is %s, with %d bytes; %d are here", where, len(body), len(u.got))
		}
		if len(u.trouble) > 0 {
			trouble := u.trouble[0]
			u.trouble = u.trouble[1:]
			if trouble(w, body) {
				return
			}
		}
		u.got = append(u.got, body...)
		u.finished = len(u.got) == size
	}
	if u.finished {
		_, _ = io.WriteString(w, "{}")
		return
	}
	if len(u.got) > 0 {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(u.got)-1))
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

// TestAnUploadToGoogleIsResumed goes through what may happen to one of many megabytes.
func TestAnUploadToGoogleIsResumed(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 40<<20/16+1)
	none := func(http.ResponseWriter, []byte) bool { return false }
	for name, c := range map[string]struct {
		trouble func(u *upload) []func(http.ResponseWriter, []byte) bool
		asked   int
		want    string
	}{
		"no trouble": {func(*upload) []func(http.ResponseWriter, []byte) bool { return nil }, 0, ""},
		"half a part is kept": {func(u *upload) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{none, func(w http.ResponseWriter, body []byte) bool {
				u.got = append(u.got, body[:len(body)/2]...)
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}}
		}, 1, ""},
		"nothing is kept of the first": {func(*upload) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{func(http.ResponseWriter, []byte) bool { panic(http.ErrAbortHandler) }}
		}, 1, ""},
		"the last answer is lost": {func(u *upload) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{none, none, func(_ http.ResponseWriter, body []byte) bool {
				u.got = append(u.got, body...)
				u.finished = true
				panic(http.ErrAbortHandler)
			}}
		}, 1, ""},
		"the upload is gone": {func(*upload) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{none, func(w http.ResponseWriter, _ []byte) bool {
				w.WriteHeader(http.StatusGone)
				return true
			}}
		}, 0, "the server has ended the upload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &upload{t: t}
			u.trouble = c.trouble(u)
			server := httptest.NewServer(u)
			defer server.Close()
			s := opened(t, storage.Place{URL: "gs://lake/x", Endpoint: server.URL})
			err := s.Write(t.Context(), "file", bytes.NewReader(content), int64(len(content)))
			if c.want == "" && (err != nil || !bytes.Equal(u.got, content)) {
				t.Errorf("%d bytes of %d, %v", len(u.got), len(content), err)
			}
			if c.want != "" && (fault.Of(err) != fault.ClassLater || !strings.Contains(fmt.Sprint(err), c.want)) {
				t.Errorf("class %v, %v, want %q", fault.Of(err), err, c.want)
			}
			if errors.Is(err, storage.ErrNotFound) || strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%v", err)
			}
			if u.asked != c.asked {
				t.Errorf("the server was asked %d times how far it is, want %d", u.asked, c.asked)
			}
		})
	}
}

// TestWhatPassesIsAskedAgain has Google refuse the first requests.
func TestWhatPassesIsAskedAgain(t *testing.T) {
	t.Parallel()
	for status, more := range map[int]bool{500: true, 503: true, 429: true, 408: true, 403: false, 401: false, 400: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := opened(t, storage.Place{URL: "gs://lake/x", Endpoint: storagetest.GCS(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if asked.Add(1) == 1 {
					w.WriteHeader(status)
					return
				}
				next.ServeHTTP(w, r)
			})})
			err := s.Create(t.Context(), "file", []byte("x"))
			if (err == nil) != more || (asked.Load() > 1) != more {
				t.Errorf("asked %d times: %v", asked.Load(), err)
			}
		})
	}
}
