// Package otlptest is a collector of traces for tests.
package otlptest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that a collector was sent.
type Span struct {
	Trace, ID, Parent string // Parent is empty for the first of a trace
	Service           string // that sent it
	Name              string
	Start, End        time.Time
	Attributes        map[string]string
	Links             []string // of spans, by their ids
	Errors            []string // that were recorded
	Failed            bool
}

// Collector takes spans by OTLP over HTTP. It is safe for concurrent use.
type Collector struct {
	testing.TB
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	headers http.Header // of the last request
	changed chan struct{}
}

// Start starts a collector, which ends with the test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{TB: t, changed: make(chan struct{}, 1)}
	c.server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.server.Close)
	return c
}

// URL is where it listens.
func (c *Collector) URL() string { return c.server.URL }

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.Errorf("%s %s: %v", r.Method, r.URL, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.headers = r.Header
	for _, of := range request.ResourceSpans {
		service := texts(of.Resource.Attributes)["service.name"]
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, read(service, s))
			}
		}
	}
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func read(service string, s *tracepb.Span) Span {
	at := func(nanoseconds uint64) time.Time { return time.Unix(0, int64(nanoseconds)) }
	span := Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Service: service, Name: s.Name, Start: at(s.StartTimeUnixNano), End: at(s.EndTimeUnixNano),
		Attributes: texts(s.Attributes), Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
	}
	for _, l := range s.Links {
		span.Links = append(span.Links, hex.EncodeToString(l.SpanId))
	}
	for _, e := range s.Events {
		span.Errors = append(span.Errors, texts(e.Attributes)["exception.message"])
	}
	return span
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_BoolValue:
			all[a.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return all
}

// Header returns a header of the last request.
func (c *Collector) Header(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers.Get(name)
}

// Spans returns what was sent so far, in the order of their beginnings.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := slices.Clone(c.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// Await waits until what was sent is enough, and returns it.
func (c *Collector) Await(enough func([]Span) bool) []Span {
	c.Helper()
	limit := time.After(time.Minute)
	for {
		spans := c.Spans()
		if enough(spans) {
			return spans
		}
		select {
		case <-c.changed:
		case <-limit:
			c.Fatalf("the spans that are waited for were not sent; there are\n%s", Forest(spans))
		}
	}
}

// Forest returns spans as trees of text, a line for each.
func Forest(spans []Span) string {
	var text strings.Builder
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	for _, s := range spans {
		if !known[s.Parent] {
			grow(&text, spans, s, "")
		}
	}
	return text.String()
}

func grow(text *strings.Builder, spans []Span, s Span, indent string) {
	fmt.Fprintf(text, "%s%s  %v  %s", indent, s.Name, s.End.Sub(s.Start).Round(10*time.Microsecond), s.Service)
	for _, key := range []string{"kind", "lane", "first_block", "last_block", "rows", "bytes", "tries", "entries", "delivery"} {
		if value, has := s.Attributes["ampipe."+key]; has {
			fmt.Fprintf(text, " %s=%s", key, value)
		}
	}
	for _, e := range s.Errors {
		fmt.Fprintf(text, " error=%q", e)
	}
	text.WriteString("\n")
	for _, child := range spans {
		if child.Parent == s.ID {
			grow(text, spans, child, indent+"  ")
		}
	}
}
