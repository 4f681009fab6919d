package delta_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestLayouts holds that a table takes and verifies arrays however they are laid
// out: among them those without offsets, which end every answer of Amp.
func TestLayouts(t *testing.T) {
	t.Parallel()
	sinktest.RunLayouts(t, func(t testing.TB, table sink.Table) sink.Writer { return inMemory(t).open(t, table) })
}
