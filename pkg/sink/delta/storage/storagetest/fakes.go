package storagetest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
)

// Between may answer in a server's place, or change what it is asked. Nil does
// neither.
type Between func(w http.ResponseWriter, r *http.Request, next http.Handler)

func serve(t testing.TB, between Between, next func() http.Handler) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if between != nil {
			between(w, r, next())
		} else {
			next().ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// S3 starts a server in this process that speaks as S3 does, with the bucket
// "lake", and returns its address.
func S3(t testing.TB, between Between) string {
	backend := s3mem.New()
	if err := backend.CreateBucket("lake"); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	return serve(t, between, func() http.Handler { return fake }).URL
}

// GCS starts a server in this process that speaks as Google Cloud Storage does,
// with the bucket "lake", and returns its address.
func GCS(t testing.TB, between Between) string {
	var fake *fakestorage.Server
	server := serve(t, between, func() http.Handler { return fake.HTTPHandler() })
	var err error
	fake, err = fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		ExternalURL: server.URL, // uploads in parts are sent there
		PublicHost:  server.Listener.Addr().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "lake"})
	return server.URL
}

// Leak is what a library of the fake GCS starts when it is imported, and never
// ends.
func Leak() goleak.Option {
	return goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")
}
