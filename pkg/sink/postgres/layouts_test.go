package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestLayouts holds that a table takes and verifies arrays however they are laid
// out: among them those without offsets, which end every answer of Amp.
func TestLayouts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	var tables atomic.Int64
	sinktest.RunLayouts(t, layout.Columns(), func(t testing.TB, table sink.Table) sink.Writer {
		cfg := db.config()
		cfg.Table, cfg.Writers = fmt.Sprintf("t%d", tables.Add(1)), 1
		return open(t, cfg, table)
	})
}
