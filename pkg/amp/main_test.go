package amp_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are options for tests that reconnect.
var quick = amp.FollowOptions{Backoff: fault.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond}}

// query is the SQL of tests that ask only one.
const query = "SELECT * FROM blocks"

// setup returns a scripted server and a client of it. The test fails if a record is
// not released.
func setup(t *testing.T) (*amptest.Server, *amp.Client) {
	t.Helper()
	srv := amptest.Start(t, nil)
	return srv, open(t, amp.Config{URL: srv.URL()})
}

func open(t *testing.T, cfg amp.Config) *amp.Client {
	t.Helper()
	if !cfg.Recycle && cfg.Allocator == nil { // recycled memory is never given back
		cfg.Allocator = amptest.Allocator(t)
	}
	client, err := amp.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// collect fetches everything; the caller owns the records, which are released when
// the test ends.
func collect(ctx context.Context, t *testing.T, client *amp.Client, sql string) ([]amp.Message, error) {
	t.Helper()
	var all []amp.Message
	for m, err := range client.Fetch(ctx, sql) {
		if err != nil {
			return all, err
		}
		m.Record.Retain()
		t.Cleanup(m.Record.Release)
		all = append(all, m)
	}
	return all, nil
}

// blocks is an answer of one record for each range.
func blocks(t *testing.T, ranges ...block.Range) amptest.Answer {
	t.Helper()
	var records []arrow.RecordBatch
	for _, r := range ranges {
		record := amptest.Blocks(r, 0)
		t.Cleanup(record.Release)
		records = append(records, record)
	}
	head := amptest.Range(block.Range{End: 100}, 0)
	return amptest.Batch(amptest.Schema, []amp.Range{head}, records...)
}

// errHour ends what would never end.
var errHour = errors.New("the time is over")

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeoutCause(t.Context(), d, errHour)
}
