package observe

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// memory is a storage of floats. It is safe for concurrent use.
type memory struct {
	mu     sync.Mutex
	series map[uint64]*series // by hash of the labels
	names  map[string]bool    // of the metrics
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample // ascending
}

type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

func newMemory() *memory { return &memory{series: map[uint64]*series{}, names: map[string]bool{}} }

// add appends a value of a series.
func (m *memory) add(l labels.Labels, at time.Time, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.series[l.Hash()]
	if s == nil {
		s = &series{labels: l}
		m.series[l.Hash()] = s
		m.names[l.Get(model.MetricNameLabel)] = true
	}
	s.samples = append(s.samples, sample{at.UnixMilli(), v})
}

// end marks a series as stale: it was not scraped, or not evaluated, any more.
func (m *memory) end(l labels.Labels, at time.Time) {
	m.add(l, at, math.Float64frombits(value.StaleNaN))
}

// Querier makes memory a [storage.Queryable].
func (m *memory) Querier(from, to int64) (storage.Querier, error) {
	return querier{memory: m, from: from, to: to}, nil
}

type querier struct {
	*memory
	from, to int64
}

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []storage.Series
	for _, s := range q.series {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			continue
		}
		first, _ := slices.BinarySearchFunc(s.samples, q.from, func(s chunks.Sample, at int64) int { return int(s.T() - at) })
		last, _ := slices.BinarySearchFunc(s.samples, q.to+1, func(s chunks.Sample, at int64) int { return int(s.T() - at) })
		if first < last {
			found = append(found, storage.NewListSeries(s.labels, slices.Clone(s.samples[first:last])))
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &seriesSet{series: found, at: -1}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
