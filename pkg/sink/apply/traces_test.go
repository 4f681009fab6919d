package apply_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ampipe/ampipe/pkg/trace"
)

// TestTracesTellWhatBecameOfEntries: one transaction in the trace of each commits it, except
// for the entry with a row that is refused. Its transactions end with the error.
func TestTracesTellWhatBecameOfEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		r := newEnv(t, entries(t, 10, 10)...)
		r.loop.Tracer = trace.New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), "p")
		for i, m := range r.log.all {
			if i != 0 {
				m.Trace = fmt.Sprintf("00-%032x-%016x-01", i, i)
			}
		}
		r.refuse("43.7")
		err := r.fails()
		for i := range r.log.all {
			var transactions []tracetest.SpanStub
			answers := 0
			for _, s := range spans.GetSpans() {
				switch {
				case s.SpanContext.TraceID().String() != fmt.Sprintf("%032x", i):
				case s.Name == "transaction":
					transactions = append(transactions, s)
				case s.Name == "sink warehouse":
					answers++
					if refused := s.Status.Code == codes.Error; refused != (i == 4) {
						t.Errorf("entry %d ends as %v", i, s.Status)
					}
				}
			}
			if i == 0 {
				if len(transactions)+answers > 0 {
					t.Errorf("entry %d is traced", i)
				}
				continue
			}
			committed := slices.ContainsFunc(transactions, func(s tracetest.SpanStub) bool { return s.Status.Code != codes.Error })
			if answers != 1 || len(transactions) == 0 || committed != (i != 4) {
				t.Fatalf("entry %d has %d answers and transactions %v", i, answers, transactions)
			}
			if last := transactions[len(transactions)-1]; i == 4 && !strings.Contains(err.Error(), last.Status.Description) {
				t.Errorf("the last transaction of entry %d ends with %q, the loop with %v", i, last.Status.Description, err)
			}
		}
	})
}
