package storage_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

// TestAServerThatDoesNotKeepItsPromiseIsRefused has a server that ignores the
// condition, as some do.
func TestAServerThatDoesNotKeepItsPromiseIsRefused(t *testing.T) {
	storagetest.AWS(t)
	endpoint := storagetest.S3(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("If-None-Match")
		next.ServeHTTP(w, r)
	})
	s, err := storage.Open(t.Context(), storage.Place{URL: "s3://lake/x", Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = storage.Probe(t.Context(), s)
	if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), "cannot be trusted with a table: 8 of 8 writers") {
		t.Errorf("the probe says %v", err)
	}
	if err := s.List(t.Context(), "", "", func(i storage.Info) error { return fmt.Errorf("%s is left", i.Name) }); err != nil {
		t.Error(err)
	}
}

// TestProbeNamesWhatIsWrong goes through what users get wrong about a bucket.
func TestProbeNamesWhatIsWrong(t *testing.T) {
	storagetest.AWS(t)
	storagetest.Azure(t)
	s3 := func(b storagetest.Between) storage.Place {
		return storage.Place{URL: "s3://lake/x", Endpoint: storagetest.S3(t, b)}
	}
	google := func(b storagetest.Between) storage.Place {
		return storage.Place{URL: "gs://lake/x", Endpoint: storagetest.GCS(t, b)}
	}
	azure := func(b storagetest.Between) storage.Place {
		return storage.Place{URL: "azblob://lake/x", Endpoint: storagetest.S3(t, b) + "/devstoreaccount1"} // whatever is behind
	}
	refuse := storagetest.Refuse
	const nobody = "http://127.0.0.1:1"
	cases := map[string]struct {
		place storage.Place
		class fault.Class
		want  string
	}{
		"S3: no such bucket":    {storage.Place{URL: "s3://nope/x", Endpoint: storagetest.S3(t, nil)}, fault.ClassPermanent, "the bucket does not exist"},
		"S3: no rights":         {s3(refuse(403, "AccessDenied")), fault.ClassPermanent, "access denied; give these credentials the rights"},
		"S3: wrong credentials": {s3(refuse(403, "InvalidAccessKeyId")), fault.ClassPermanent, "does not accept the credentials"},
		"S3: wrong endpoint":    {storage.Place{URL: "s3://lake/x", Endpoint: nobody}, fault.ClassLater, "connection refused"},

		"GCS: no such bucket":    {storage.Place{URL: "gs://nope/x", Endpoint: storagetest.GCS(t, nil)}, fault.ClassPermanent, "the bucket does not exist"},
		"GCS: no rights":         {google(refuse(403, "forbidden")), fault.ClassPermanent, "access denied; give these credentials the rights"},
		"GCS: wrong credentials": {google(refuse(401, "authError")), fault.ClassPermanent, "does not accept the credentials"},
		"GCS: wrong endpoint":    {storage.Place{URL: "gs://lake/x", Endpoint: nobody}, fault.ClassLater, "connection refused"},

		"Azure: no such container": {azure(refuse(404, "ContainerNotFound")), fault.ClassPermanent, "the container does not exist"},
		"Azure: no such account":   {azure(refuse(404, "ResourceNotFound")), fault.ClassPermanent, "correct url, AZURE_STORAGE_ACCOUNT and endpoint"},
		"Azure: no rights":         {azure(refuse(403, "AuthorizationPermissionMismatch")), fault.ClassPermanent, "access denied; give these credentials the rights"},
		"Azure: wrong credentials": {azure(refuse(403, "AuthenticationFailed")), fault.ClassPermanent, "does not accept the credentials"},
		"Azure: busy":              {azure(refuse(503, "ServerBusy")), fault.ClassLater, "the server answered ServerBusy (HTTP 503)"},
		"Azure: wrong endpoint":    {storage.Place{URL: "azblob://lake/x", Endpoint: nobody + "/devstoreaccount1"}, fault.ClassLater, "connection refused"},
	}
	said := map[string]error{}
	var mu sync.Mutex
	var probes sync.WaitGroup // together: those that are tried again take seconds
	for name, c := range cases {
		s, err := storage.Open(t.Context(), c.place)
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, s)
		probes.Go(func() {
			err := storage.Probe(t.Context(), s)
			mu.Lock()
			defer mu.Unlock()
			said[name] = err
		})
	}
	probes.Wait()
	for name, c := range cases {
		err := said[name]
		if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the probe says (%v) %v, want (%v) %q", name, fault.Of(err), err, c.class, c.want)
		}
		text := fmt.Sprint(err)
		if strings.Contains(text, storagetest.Secret) || strings.Contains(text, storagetest.AzureKey) {
			t.Errorf("%s: a secret is in %v", name, err)
		}
		if strings.Contains(text, "\n") {
			t.Errorf("%s: the error has several lines: %v", name, err)
		}
	}
}

// TestWhatIsDeniedIsNotMissing takes the rights away from a writer that had them:
// were the next version taken for missing, the table would be taken for older than
// it is.
func TestWhatIsDeniedIsNotMissing(t *testing.T) {
	storagetest.AWS(t)
	storagetest.Azure(t)
	denied := storagetest.Refuse(http.StatusForbidden, "AccessDenied")
	for name, p := range map[string]storage.Place{
		"S3":    {URL: "s3://lake/x", Endpoint: storagetest.S3(t, denied)},
		"GCS":   {URL: "gs://lake/x", Endpoint: storagetest.GCS(t, denied)},
		"Azure": {URL: "azblob://lake/x", Endpoint: storagetest.S3(t, denied) + "/devstoreaccount1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := storage.Open(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			_, readErr := s.Read(t.Context(), "a")
			_, openErr := s.Open(t.Context(), "a")
			for what, err := range map[string]error{
				"read": readErr, "open": openErr,
				"list":   s.List(t.Context(), "", "", func(storage.Info) error { return nil }),
				"delete": s.Delete(t.Context(), "a"),
				"create": s.Create(t.Context(), "a", []byte("x")),
				"write":  s.Write(t.Context(), "a", strings.NewReader("x"), 1),
			} {
				if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), "access denied") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestCredentialsAreAskedFor opens without what a scheme needs.
func TestCredentialsAreAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		place storage.Place
		env   map[string]string
		want  string
	}{
		"no account":         {storage.Place{URL: "azblob://lake/x"}, nil, "AZURE_STORAGE_ACCOUNT is not set"},
		"a key and no owner": {storage.Place{URL: "azblob://lake/x", Endpoint: "https://h"}, map[string]string{"AZURE_STORAGE_KEY": "c2VjcmV0"}, "set the account that the key is of"},
		"a key that is none": {storage.Place{URL: "azblob://lake/x"}, map[string]string{"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "hunter2"},
			"AZURE_STORAGE_KEY is not a key"},
		"a broken connection string": {storage.Place{URL: "azblob://lake/x"}, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "AccountKey=hunter2"},
			"AZURE_STORAGE_CONNECTION_STRING is not one"},
		"two servers": {storage.Place{URL: "azblob://lake/x", Endpoint: "https://h"}, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "x=hunter2"},
			"both name a server"},
		"a token in the clear": {storage.Place{URL: "azblob://lake/x", Endpoint: "http://h"}, map[string]string{"AZURE_STORAGE_ACCOUNT": "a"}, "over http:// only"},
		"parameters":           {storage.Place{URL: "azblob://lake/x?sig=hunter2"}, nil, "takes no parameters"},
		"no file of Google's":  {storage.Place{URL: "gs://lake/x"}, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"}, "there are no credentials"},
		"parameters for GCS":   {storage.Place{URL: "gs://lake/x?key=hunter2"}, nil, "takes no parameters"},
		"another scheme":       {storage.Place{URL: "ftp://lake/x"}, nil, "use s3://, gs:// or azblob://"},
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Azure(t)
			t.Setenv("STORAGE_EMULATOR_HOST", "")
			t.Setenv("AZURE_STORAGE_ACCOUNT", "")
			t.Setenv("AZURE_STORAGE_KEY", "")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			s, err := storage.Open(t.Context(), c.place)
			if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("open gives %v, want %q", err, c.want)
			}
			if s != nil {
				t.Errorf("a store is given with the error %v", err)
			}
		})
	}
}
