package memsink_test

import (
	"context"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

type destination struct{ *memsink.Store }

const refused = "refused"

func (d destination) Writer(testing.TB) sink.Writer { return d.Store.Writer() }

func (d destination) Refused() (sinktest.Row, string) { return sinktest.Row{Key: refused}, "key" }

func (d destination) Rows(context.Context) ([]sinktest.Row, error) {
	var rows []sinktest.Row
	for _, r := range d.Store.Rows() {
		rows = append(rows, sinktest.Row{Key: r.Values[0].(string), Block: r.Block, Index: r.Values[2].(int32), Value: r.Values[3].(int64)})
	}
	return rows, nil
}

func open(_ testing.TB, s sinktest.Setup) sinktest.Destination {
	store := &memsink.Store{Key: s.Key}
	store.Faults.Row = func(r memsink.Row) error {
		if r.Values[0] == refused {
			return &sink.BadRowError{Column: "key", Reason: "the test refuses it"}
		}
		return nil
	}
	return destination{store}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, open)
}

func BenchmarkWriter(b *testing.B) { sinktest.Bench(b, open) }
