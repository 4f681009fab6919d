package progress

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Describe and Collect make a Meter a [prometheus.Collector]. Every figure is
// read when it is scraped, and only sent by a process that knows it; the pipeline's
// name is added by the registry.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLogRows, descLogBytes, descHistory, descExtracted, descSinkRows, descSinkBlocks, descWaiting,
		descLiveHead, descLiveReorgs, descSinkLive, descSinkLatency, descSinkStopped, descFailed,
		descWaitingParts, descLongestWait, descCommits, descEntries, descLastCommit, descRefused, descLetters,
		descEpoch, descPartitions, descFailedBlocks, descQueued, descHeld, descIdle,
		descLogSize, descLogLimit, descLogEntries,
		descState, descSink, descSpans,
		descWanted, descMissing, descReplayBlocks, descReplayLeft, descReplayFailed, descPending, descAcknowledged, descLagBlocks, descLagSeconds,
		descPruned, descUnbuilt, descIndexingFailed,
	} {
		ch <- d
	}
}

var (
	descLogRows     = newDesc("ampipe_log_rows_total", "Rows appended to the log by this process.")
	descLogBytes    = newDesc("ampipe_log_bytes_total", "Bytes of entries appended to the log by this process.")
	descHistory     = newDesc("ampipe_history_blocks", "Blocks of the history that are wanted.")
	descExtracted   = newDesc("ampipe_extracted_blocks", "Blocks of the history that the log has had.")
	descSinkRows    = newDesc("ampipe_sink_rows_total", "Rows committed by this process.", "sink")
	descSinkBlocks  = newDesc("ampipe_sink_blocks", "Blocks of the history that the destination holds.", "sink")
	descLiveHead    = newDesc("ampipe_live_block", "Last block of the live chain that is complete in the log.")
	descLiveReorgs  = newDesc("ampipe_reorgs_total", "Reorgs since the pipeline began.")
	descSinkLive    = newDesc("ampipe_sink_live_block", "Last block of the live chain that the destination holds.", "sink")
	descSinkLatency = newDesc("ampipe_live_latency_seconds", "From the extractor's hearing of blocks to their commit.", "sink")
	descSinkStopped = newDesc("ampipe_sink_stopped", "1 if the sink has stopped for good, because of an error.", "sink")
	descFailed      = newDesc("ampipe_pipeline_failed", "1 if the pipeline has ended because of an error.")
	descSpans       = newDesc("ampipe_spans_total", "Spans of traces that this process has sent, or lost.", "result")
	descWaiting     = newDesc("ampipe_waiting", "Parts of the pipeline that wait for something.")
)

// newDesc describes a metric that has no label but those named here.
func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// sender passes metrics on.
type sender chan<- prometheus.Metric

func (s sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sender) count(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// Collect is part of [prometheus.Collector].
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	send := sender(ch)
	send.gauge(descWaiting, float64(len(m.condition.waits)))
	send.gauge(descFailed, truth(m.condition.failure.reason != ""))
	m.collectWaits(send)
	m.collectOverview(send)
	m.collectJudgement(send)
	if m.extracts {
		send.count(descLogRows, float64(m.rows))
		send.count(descLogBytes, float64(m.bytes))
	}
	if m.spans != nil {
		sent, lost := m.spans()
		send.count(descSpans, float64(sent), "sent")
		send.count(descSpans, float64(lost), "lost")
	}
	if m.planned {
		send.gauge(descHistory, float64(m.history.Len()))
		send.gauge(descExtracted, float64(m.extracted.Len()))
	}
	if m.extracts || m.live.reorgsKnown {
		send.count(descLiveReorgs, float64(m.live.reorgs))
	}
	if m.live.known {
		send.gauge(descLiveHead, float64(m.live.head))
	}
	for name, s := range m.sinks {
		s.collect(send, name)
	}
}

func (s *sinkMeter) collect(send sender, name string) {
	if s.live.known {
		send.gauge(descSinkLive, float64(s.live.number), name)
		send <- prometheus.MustNewConstHistogram(descSinkLatency, s.live.latency.count, s.live.latency.sum, s.live.latency.buckets(), name)
	}
	if s.applies {
		send.count(descSinkRows, float64(s.rows), name)
		s.collectCommits(send, name)
	}
	if s.known {
		send.gauge(descSinkBlocks, float64(s.covered), name)
	}
	if s.letters != nil {
		send.gauge(descLetters, float64(*s.letters), name)
	}
	if s.judged {
		send.gauge(descSinkStopped, truth(s.stopped.reason != ""), name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Gather returns a registry of the process and of the meters, by the names of
// their pipelines.
func Gather(meters map[string]*Meter) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	all := []error{
		registry.Register(buildInfo()),
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	}
	for name, m := range meters {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": name}, registry)
		all = append(all, labelled.Register(m))
	}
	return registry, errors.Join(all...)
}
