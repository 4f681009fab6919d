package storage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

func TestMain(m *testing.M) {
	if place := os.Getenv("AMPIPE_TEST_RACER"); place != "" {
		os.Exit(racer(place))
	}
	goleak.VerifyTestMain(m)
}

const racedNames = 60

// racer is a process that tries to be the first to write each of some names. It
// prints those that it got.
func racer(place string) int {
	var p storage.Place
	err := json.Unmarshal([]byte(place), &p)
	var s storage.Store
	if err == nil {
		s, err = storage.Open(context.Background(), p)
	}
	_, _ = fmt.Scanln() // until both are ready
	for i := 0; err == nil && i < racedNames; i++ {
		name := fmt.Sprintf("_delta_log/%020d.json", i)
		switch failed := s.Create(context.Background(), name, fmt.Appendf(nil, "%d", os.Getpid())); {
		case failed == nil:
			fmt.Println(name)
		case !errors.Is(failed, storage.ErrExists):
			err = failed
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func credentials(t testing.TB) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "minioadmin", "AWS_SECRET_ACCESS_KEY": "minioadmin",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.(*testing.T).Setenv(name, value)
	}
}

// fakeS3 starts a server with the bucket "lake". between may answer in its place.
func fakeS3(t testing.TB, between func(w http.ResponseWriter, r *http.Request, next http.Handler)) string {
	backend := s3mem.New()
	if err := backend.CreateBucket("lake"); err != nil {
		t.Fatal(err)
	}
	next := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if between != nil {
			between(w, r, next)
		} else {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// places are all kinds of storage that two processes can share.
func places(t *testing.T) map[string]storage.Place {
	credentials(t)
	url := "s3://lake/" + strings.ToLower(rand.Text())
	all := map[string]storage.Place{
		"folder":  {Path: filepath.Join(t.TempDir(), "table")},
		"fake S3": {URL: url, Endpoint: fakeS3(t, nil)},
	}
	if endpoint := os.Getenv("AMPIPE_TEST_S3"); endpoint != "" {
		all["MinIO"] = storage.Place{URL: url, Endpoint: endpoint}
	} else {
		t.Log("AMPIPE_TEST_S3 is not set: no MinIO; scripts/minio run … starts one")
	}
	return all
}

func TestTwoProcessesRaceForEachVersion(t *testing.T) {
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			place, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var racers [2]*exec.Cmd
			var outs [2]bytes.Buffer
			var ready [2]io.WriteCloser
			for i := range racers {
				racers[i] = exec.Command(self)
				racers[i].Env = append(os.Environ(), "AMPIPE_TEST_RACER="+string(place))
				racers[i].Stdout, racers[i].Stderr = &outs[i], os.Stderr
				if ready[i], err = racers[i].StdinPipe(); err != nil {
					t.Fatal(err)
				}
				if err := racers[i].Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = racers[i].Process.Kill() })
			}
			for _, in := range ready {
				if _, err := fmt.Fprintln(in); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range racers {
				if err := r.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			won := append(strings.Fields(outs[0].String()), strings.Fields(outs[1].String())...)
			slices.Sort(won)
			if len(won) != racedNames || len(slices.Compact(won)) != racedNames {
				t.Errorf("%d wins for %d names", len(won), racedNames)
			}
		})
	}
}

// stores are all kinds of storage.
func stores(t *testing.T) map[string]storage.Store {
	all := map[string]storage.Store{"memory": storage.NewBucket(memblob.OpenBucket(nil), "memory", "")}
	for name, p := range places(t) {
		s, err := storage.Open(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = s
	}
	t.Cleanup(func() {
		for _, s := range all {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return all
}

func TestStores(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if err := storage.Probe(ctx, s); err != nil {
				t.Fatalf("probe: %v", err)
			}
			if _, err := s.Read(ctx, "_delta_log/x"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("read what is not there: %v", err)
			}
			if _, err := s.Open(ctx, "a/b"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("open what is not there: %v", err)
			}
			if err := s.Delete(ctx, "a/b"); err != nil {
				t.Errorf("delete what is not there: %v", err)
			}
			big := bytes.Repeat([]byte("0123456789"), 1_000_000)
			if err := s.Write(ctx, "k=%2520/part 1.parquet", bytes.NewReader(big), int64(len(big))); err != nil {
				t.Fatal(err)
			}
			f, err := s.Open(ctx, "k=%2520/part 1.parquet")
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(big))
			if _, err := f.ReadAt(got[:25], 100); err != nil || string(got[:10]) != "0123456789" {
				t.Errorf("read at 100: %q, %v", got[:25], err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			for _, name := range []string{"_delta_log/2", "_delta_log/1", "_delta_log/3", "_delta_logs"} {
				if err := s.Create(ctx, name, []byte(name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Create(ctx, "_delta_log/2", []byte("again")); !errors.Is(err, storage.ErrExists) {
				t.Errorf("create what is there: %v", err)
			}
			if err := s.Replace(ctx, "_delta_log/3", []byte("new")); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"_delta_log/2": "_delta_log/2", "_delta_log/3": "new"} {
				if got, err := s.Read(ctx, name); err != nil || string(got) != want {
					t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
				}
			}
			var names []string
			err = s.List(ctx, "_delta_log/", "_delta_log/1", func(i storage.Info) error {
				names = append(names, i.Name)
				return nil
			})
			if err != nil || !slices.Equal(names, []string{"_delta_log/2", "_delta_log/3"}) {
				t.Errorf("the list is %q, %v", names, err)
			}
			names = nil
			if err := s.List(ctx, "", "", func(i storage.Info) error { names = append(names, i.Name); return nil }); err != nil || len(names) != 5 {
				t.Errorf("all names are %q, %v", names, err)
			}
		})
	}
}

// TestAServerThatDoesNotKeepItsPromiseIsRefused has a server that ignores the
// condition, as some do.
func TestAServerThatDoesNotKeepItsPromiseIsRefused(t *testing.T) {
	credentials(t)
	endpoint := fakeS3(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
	credentials(t)
	refuse := func(status int, code string) string {
		return fakeS3(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
		})
	}
	for name, c := range map[string]struct {
		place storage.Place
		class fault.Class
		want  string
	}{
		"no such bucket":    {storage.Place{URL: "s3://nope/x", Endpoint: fakeS3(t, nil)}, fault.ClassPermanent, "the bucket does not exist"},
		"no rights":         {storage.Place{URL: "s3://lake/x", Endpoint: refuse(403, "AccessDenied")}, fault.ClassPermanent, "access denied; give these credentials the rights"},
		"wrong credentials": {storage.Place{URL: "s3://lake/x", Endpoint: refuse(403, "InvalidAccessKeyId")}, fault.ClassPermanent, "does not accept the credentials"},
		"wrong endpoint":    {storage.Place{URL: "s3://lake/x", Endpoint: "http://127.0.0.1:1"}, fault.ClassLater, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := storage.Open(t.Context(), c.place)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = storage.Probe(t.Context(), s)
			if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the probe says (%v) %v, want (%v) %q", fault.Of(err), err, c.class, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "minioadmin") {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
}

func TestGoroutinesRaceInMemory(t *testing.T) {
	s := storage.NewBucket(memblob.OpenBucket(nil), "memory", "")
	defer func() { _ = s.Close() }()
	for i := range 50 {
		var wins sync.Map
		var race sync.WaitGroup
		for k := range 8 {
			race.Go(func() {
				if s.Create(t.Context(), fmt.Sprint(i), nil) == nil {
					wins.Store(k, true)
				}
			})
		}
		race.Wait()
		n := 0
		wins.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Fatalf("%d writers won", n)
		}
	}
}
