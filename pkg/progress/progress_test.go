package progress_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
)

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1k", 9_500: "9.5k", 9_960: "10k", 94_400: "94k",
		999_499: "999k", 999_600: "1M", 4_100_000: "4.1M", 10_000_000: "10M", 2_500_000_000: "2.5G",
	} {
		if got := progress.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("warehouse")
		if got := m.Line(); got != "nothing to do yet" {
			t.Errorf("before the plan: %q", got)
		}
		m.Planned(block.Range{Start: 0, End: 1000}, block.Set{})
		m.Covered("warehouse", 0)
		for range 10 {
			m.Published(block.Range{Start: 0, End: 500}, 96_000, 1)
			m.Applied("warehouse", 48_000)
			m.Behind("warehouse", 11*time.Second)
			time.Sleep(time.Second)
		}
		m.Covered("warehouse", 250)
		want := "history 250/1k blocks 25 % | 86k rows/s | warehouse 43k rows/s, 11 s behind | eta 30 s"
		if got := m.Line(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		m.Waiting("sink warehouse", "connection refused")
		m.WaitingFor(health.Expected, "partition 0.0", "blocks are not there yet")
		if got := m.Line(); !strings.HasSuffix(got, "| sink warehouse waits: connection refused (and 1 more)") {
			t.Errorf("what is waited for is not shown: %q", got)
		}
		m.Waiting("sink warehouse", "")
		m.Waiting("partition 0.0", "")
		if got := m.Line(); strings.Contains(got, "waits") {
			t.Errorf("still waiting: %q", got)
		}
	})
}

// TestLineNamesWhatHasStopped first, and does not count it any more; of a pipeline
// that has failed it says nothing else.
func TestLineNamesWhatHasStopped(t *testing.T) {
	m := progress.NewMeter("cache", "warehouse")
	m.Planned(block.Range{Start: 0, End: 1000}, block.Set{})
	m.Covered("cache", 500)
	m.Covered("warehouse", 20)
	m.Reached("cache", 60, time.Now())
	m.Reached("warehouse", 10, time.Now())
	m.Stopped("warehouse", "block 500: a NUL")
	if got, want := m.Line(), "warehouse STOPPED: block 500: a NUL | history 500/1k blocks 50 % | live 60 ("; !strings.HasPrefix(got, want) {
		t.Errorf("got  %q\nwant %q…", got, want)
	}
	if got := m.Stops(); got["sink warehouse"] != "block 500: a NUL" || len(got) != 1 {
		t.Errorf("stopped are %q", got)
	}
	m.Stopped("warehouse", "")
	if got := m.Line(); strings.Contains(got, "STOPPED") || !strings.Contains(got, "live 10 ") {
		t.Errorf("when it runs again: %q", got)
	}
	m.Waiting("live", "the stream was cut")
	m.Failed("the chain cannot be followed")
	if got := m.Line(); got != "FAILED: the chain cannot be followed" || len(m.Health("").Waits) > 0 {
		t.Errorf("a pipeline that has failed shows %q and waits for %+v", got, m.Health("").Waits)
	}
}

func TestLineOfOneStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		extractor, sink := progress.NewMeter("warehouse"), progress.NewMeter("warehouse")
		extractor.Published(block.Range{Start: 0, End: 5}, 1000, 1)
		sink.Applied("warehouse", 2000)
		if got := extractor.Line(); got != "1k rows/s" {
			t.Errorf("an extractor shows %q", got)
		}
		if got := sink.Line(); got != "warehouse 2k rows/s" {
			t.Errorf("a sink shows %q", got)
		}
	})
}

func TestMetrics(t *testing.T) {
	m := progress.NewMeter("warehouse")
	m.Planned(block.Range{Start: 0, End: 10}, block.NewSet(block.Range{Start: 0, End: 4}))
	m.Published(block.Range{Start: 4, End: 6}, 7, 100)
	m.Applied("warehouse", 5)
	got := figures(t, m)
	for name, want := range map[string]float64{
		"ampipe_log_rows_total": 7, "ampipe_log_bytes_total": 100, "ampipe_history_blocks": 10,
		"ampipe_extracted_blocks": 6, "ampipe_sink_rows_total warehouse": 5, "ampipe_waiting": 0,
	} {
		if is, served := got[name]; !served || is != want {
			t.Errorf("%s is %v, want %v", name, is, want)
		}
	}
}
