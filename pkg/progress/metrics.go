package progress

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Describe and Collect make a Meter a [prometheus.Collector]. Every figure is
// read when it is scraped; the pipeline's name is added by the registry.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLogRows, descLogBytes, descHistory, descExtracted, descSinkRows, descSinkBlocks, descWaiting,
		descLiveHead, descLiveReorgs, descSinkLive, descSinkLatency, descSinkStopped, descFailed,
	} {
		ch <- d
	}
}

var (
	descLogRows     = prometheus.NewDesc("ampipe_log_rows_total", "Rows appended to the log by this process.", nil, nil)
	descLogBytes    = prometheus.NewDesc("ampipe_log_bytes_total", "Bytes of entries appended to the log by this process.", nil, nil)
	descHistory     = prometheus.NewDesc("ampipe_history_blocks", "Blocks of the history that are wanted.", nil, nil)
	descExtracted   = prometheus.NewDesc("ampipe_extracted_blocks", "Blocks of the history that the log has had.", nil, nil)
	descSinkRows    = prometheus.NewDesc("ampipe_sink_rows_total", "Rows committed by this process.", []string{"sink"}, nil)
	descSinkBlocks  = prometheus.NewDesc("ampipe_sink_blocks", "Blocks of the history that the destination holds.", []string{"sink"}, nil)
	descLiveHead    = prometheus.NewDesc("ampipe_live_block", "Last block of the live chain that is complete in the log.", nil, nil)
	descLiveReorgs  = prometheus.NewDesc("ampipe_reorgs_total", "Reorgs since the pipeline began.", nil, nil)
	descSinkLive    = prometheus.NewDesc("ampipe_sink_live_block", "Last block of the live chain that the destination holds.", []string{"sink"}, nil)
	descSinkLatency = prometheus.NewDesc("ampipe_live_latency_seconds",
		"From the extractor's hearing of blocks to their commit.", []string{"sink"}, nil)
	descSinkStopped = prometheus.NewDesc("ampipe_sink_stopped", "1 if the sink has stopped for good, because of an error.", []string{"sink"}, nil)
	descFailed      = prometheus.NewDesc("ampipe_pipeline_failed", "1 if the pipeline has ended because of an error.", nil, nil)
	descWaiting     = prometheus.NewDesc("ampipe_waiting", "Parts of the pipeline that wait for something.", nil, nil)
)

// Collect is part of [prometheus.Collector].
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gauge := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	count(descLogRows, m.rows)
	count(descLogBytes, m.bytes)
	gauge(descHistory, m.history.Len())
	gauge(descExtracted, m.extracted.Len())
	gauge(descWaiting, uint64(len(m.condition.waits)))
	gauge(descFailed, truth(m.condition.failure.reason != ""))
	count(descLiveReorgs, m.live.reorgs)
	if m.live.known {
		gauge(descLiveHead, uint64(m.live.head))
	}
	for name, s := range m.sinks {
		if s.live.known {
			gauge(descSinkLive, uint64(s.live.number), name)
			ch <- prometheus.MustNewConstHistogram(descSinkLatency, s.live.latency.count, s.live.latency.sum, s.live.latency.buckets(), name)
		}
		count(descSinkRows, s.rows, name)
		gauge(descSinkBlocks, s.covered, name)
		gauge(descSinkStopped, truth(s.stopped.reason != ""), name)
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Gather makes a registry of the process and of the meters, by the names of
// their pipelines.
func Gather(meters map[string]*Meter) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	all := []error{
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	}
	for name, m := range meters {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": name}, registry)
		all = append(all, labelled.Register(m))
	}
	return registry, errors.Join(all...)
}
