package progress

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ampipe/ampipe/pkg/ops"
)

// buildInfo returns a metric that is always 1, with the build in its labels.
func buildInfo() prometheus.Collector {
	b := ops.ReadBuild()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ampipe_build_info", Help: "Always 1; the labels say which build the process is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": cmp.Or(b.Commit, "unknown"), "goversion": b.Go},
	}, func() float64 { return 1 })
}
