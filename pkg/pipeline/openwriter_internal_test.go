package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// closing is a destination that counts how often it is opened and closed.
type closing struct {
	sink.Writer
	open           func() error
	opened, closed int
}

func (c *closing) Open(context.Context, sink.Table) error {
	c.opened++
	return c.open()
}

func (c *closing) Warnings(sink.Table) []string { return nil }

func (c *closing) Close() error {
	c.closed++
	return errors.New("it did not close well")
}

// TestAWriterThatIsNotOpenedIsClosed once, whatever the reason is, which is told with what
// went wrong while it was closed. One that is opened is left to the caller.
func TestAWriterThatIsNotOpenedIsClosed(t *testing.T) {
	t.Parallel()
	schema, err := entry.MarshalSchema(arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Uint64}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	spec := state.Spec{Epoch: 1, Network: "testnet", BlockColumn: "n", Schema: schema}
	other, torn := spec, spec
	other.BlockColumn, torn.Schema = "block_num", []byte("torn")
	for name, c := range map[string]struct {
		spec   state.Spec
		open   func(stop func()) error
		says   string
		opened int
	}{
		"a plan without its column": {other, nil, `block column "block_num"`, 0},
		"a schema that is torn":     {torn, nil, "read the schema of the plan", 0},
		"refused":                   {spec, func(func()) error { return fault.Permanent(errors.New("no such database")) }, "no such database", 1},
		"stopped": {spec, func(stop func()) error {
			stop()
			return fault.Later(errors.New("the server is away"), 0)
		}, "canceled", 1},
		"opened": {spec, func(func()) error { return nil }, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			p := changed(t)
			s := newStages(p, newMeter(p, "not open"), Options{Logger: zerolog.Nop()})
			w := &closing{open: func() error { return c.open(stop) }}
			err := s.openWriter(ctx, p.Sinks[0], w, c.spec)
			if c.says == "" {
				if err != nil || w.opened != 1 || w.closed != 0 {
					t.Errorf("opened %d times, closed %d, want 1 and 0: %v", w.opened, w.closed, err)
				}
				return
			}
			if w.opened != c.opened || w.closed != 1 {
				t.Errorf("opened %d times, closed %d, want %d and 1", w.opened, w.closed, c.opened)
			}
			for _, want := range []string{`sink "warehouse"`, c.says, "it did not close well"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("it ended with %v, which lacks %q", err, want)
				}
			}
		})
	}
}
