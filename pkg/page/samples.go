package page

import (
	"time"

	"github.com/ampipe/ampipe/pkg/status"
)

// sample is what the charts show of a moment, of each pipeline.
type sample struct {
	at        time.Time
	pipelines []figures
}

// figures are rows a second by what is measured, and seconds behind by sink.
type figures struct{ rates, lags map[string]float64 }

const (
	sampleGap   = 10 * time.Second
	keptSamples = 360
)

// withSample returns a history with what a view shows, unless its last sample is too young.
func withSample(history []sample, v View) []sample {
	now := time.Now()
	if n := len(history); n > 0 && now.Sub(history[n-1].at) < sampleGap {
		return history
	}
	s := sample{at: now}
	for _, p := range v.Pipelines {
		f := figures{rates: map[string]float64{}, lags: map[string]float64{}}
		if len(p.Sinks) > 0 {
			f.rates["read"] = p.History.PerSec
		}
		for _, one := range p.Sinks {
			f.rates[one.Name], f.lags[one.Name] = one.PerSec, one.Behind().Seconds()
		}
		s.pipelines = append(s.pipelines, f)
	}
	first := max(0, len(history)+1-keptSamples)
	return append(history[first:len(history):len(history)], s)
}

// chart has the lines of a pipeline as the script draws them: of both the first column is
// the time, and a line that was not measured has nulls.
type chart struct {
	Pipeline string       `json:"pipeline"`
	Lines    []string     `json:"lines"` // read, and the sinks
	Rates    [][]*float64 `json:"rates"`
	Lags     [][]*float64 `json:"lags"` // without the line "read"
}

// charts returns the charts of pipelines.
func charts(history []sample, of []named) []chart {
	all := make([]chart, len(of))
	for i, p := range of {
		c := chart{Pipeline: p.pipeline, Lines: append([]string{"read"}, p.sinks...)}
		times := make([]*float64, len(history))
		for k, s := range history {
			seconds := float64(s.at.Unix())
			times[k] = &seconds
		}
		c.Rates, c.Lags = [][]*float64{times}, [][]*float64{times}
		for n, line := range c.Lines {
			rates, lags := make([]*float64, len(history)), make([]*float64, len(history))
			for k, s := range history {
				rates[k], lags[k] = value(s.pipelines[i].rates, line), value(s.pipelines[i].lags, line)
			}
			c.Rates = append(c.Rates, rates)
			if n > 0 {
				c.Lags = append(c.Lags, lags)
			}
		}
		all[i] = c
	}
	return all
}

// named are the lines of a pipeline.
type named struct {
	pipeline string
	sinks    []string
}

func value(of map[string]float64, name string) *float64 {
	if v, ok := of[name]; ok {
		return &v
	}
	return nil
}

// linesOf returns what the charts of a view show.
func linesOf(v status.Overview) []named {
	all := make([]named, len(v.Pipelines))
	for i, p := range v.Pipelines {
		all[i].pipeline = p.Name
		for _, s := range p.Sinks {
			all[i].sinks = append(all[i].sinks, s.Name)
		}
	}
	return all
}
