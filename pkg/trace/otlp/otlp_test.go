package otlp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/trace/otlp"
	"github.com/ampipe/ampipe/pkg/trace/otlp/otlptest"
)

func open(t *testing.T, c otlp.Config) *otlp.Exporter {
	t.Helper()
	e, err := otlp.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestMain also finds goroutines that an exporter has left, except those of connections that
// might be used again.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// begin makes spans, each of a trace of its own.
func begin(e *otlp.Exporter, spans int) {
	tracer := e.Tracer("test")
	for i := range spans {
		_, span := tracer.Start(context.Background(), fmt.Sprint("span ", i))
		span.End()
	}
}

// TestTheEnvironmentSays what the standard variables are for: headers, the name of the
// service, attributes.
func TestTheEnvironmentSays(t *testing.T) {
	collector := otlptest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eDp5")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	for _, c := range []struct{ variable, want string }{{"", "ampipe-extractor"}, {"mine", "mine"}} {
		t.Setenv("OTEL_SERVICE_NAME", c.variable)
		e := open(t, otlp.Config{Endpoint: collector.URL(), Sample: 1, Service: "ampipe-extractor"})
		before := len(collector.Spans())
		begin(e, 3)
		e.Close()
		spans := collector.Spans()[before:]
		if sent, lost := e.Counts(); len(spans) != 3 || sent != 3 || lost != 0 {
			t.Fatalf("%d spans were sent, and %d lost, it says; there are %d", sent, lost, len(spans))
		}
		if got := collector.Header("Authorization"); got != "Basic eDp5" || spans[0].Service != c.want {
			t.Errorf("%q was sent with %q", spans[0].Service, got)
		}
	}
}

// TestASampleIsSent: of many traces about as many as were asked for, or none.
func TestASampleIsSent(t *testing.T) {
	t.Parallel()
	collector := otlptest.Start(t)
	for _, c := range []struct {
		sample      float64
		least, most int
	}{{0, 0, 0}, {0.1, 50, 150}} {
		e := open(t, otlp.Config{Endpoint: collector.URL(), Sample: c.sample})
		before := len(collector.Spans())
		begin(e, 1000)
		e.Close()
		if got := len(collector.Spans()) - before; got < c.least || got > c.most {
			t.Errorf("%d of 1000 were sent for a sample of %v", got, c.sample)
		}
	}
}

// TestNothingWaitsForACollector that is not there, hangs, or refuses: spans are lost, which
// is counted and said once, and an end is waited for only shortly.
func TestNothingWaitsForACollector(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	t.Cleanup(func() {
		close(hang)
		hanging.Close()
		refusing.Close()
	})
	for name, url := range map[string]string{"hanging": hanging.URL, "refusing": refusing.URL, "gone": gone.URL} {
		var said atomic.Int32
		e := open(t, otlp.Config{Endpoint: url, Sample: 1, OnLost: func(error) { said.Add(1) }})
		const spans = 20_000
		begin(e, spans)
		began := time.Now()
		e.Close()
		took := time.Since(began)
		sent, lost := e.Counts()
		if sent != 0 || lost != spans || said.Load() != 1 || took > 10*time.Second {
			t.Errorf("%s: %d were sent and %d lost, which was said %d times, and the end took %v", name, sent, lost, said.Load(), took)
		}
	}
}

// TestAnEndpointThatIsNoURLIsRefused at the start.
func TestAnEndpointThatIsNoURLIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := otlp.Open(t.Context(), otlp.Config{Endpoint: "http://a b"}); err == nil {
		t.Error("it was opened")
	}
}
