package redis_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestLayouts holds that keys take and verify arrays however they are laid out:
// among them those without offsets, which end every answer of Amp.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for structure, columns := range map[config.Structure][]layout.Column{
		config.Hash: layout.Columns(), config.String: layout.Columns(), config.Stream: layout.Some(),
	} {
		t.Run(string(structure), func(t *testing.T) {
			sinktest.RunLayouts(t, columns, func(t testing.TB, table sink.Table) sink.Writer {
				s := newServer(t)
				cfg := s.config(structure, "{table}")
				if structure.Keyed() {
					cfg.Key += ":{block_num}"
				}
				table.Pipeline = s.name
				return open(t, cfg, table)
			})
		})
	}
}
