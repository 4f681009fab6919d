package memsink_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// TestLayouts holds that the store takes arrays however they are laid out.
func TestLayouts(t *testing.T) {
	t.Parallel()
	sinktest.RunLayouts(t, layout.Columns(), func(t testing.TB, table sink.Table) sink.Writer {
		w := (&memsink.Store{}).Writer()
		if err := w.Open(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		return w
	})
}
