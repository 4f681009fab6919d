package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
)

// TestWaitsInTheLog: from the meter of a pipeline to lines that a program reads.
func TestWaitsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, end := context.WithCancel(t.Context())
		meter := progress.NewMeter("pg")
		_, stop, err := startReporting(ctx, map[string]*progress.Meter{"logs": meter}, Options{Logger: zerolog.New(&out)})
		if err != nil {
			t.Fatal(err)
		}
		line := func(want map[string]any) {
			t.Helper()
			synctest.Wait()
			var got map[string]any
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%v: %s", err, &out)
				}
			}
			out.Reset()
			if !maps.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		}
		const refused = "connection refused"
		meter.Waiting("sink pg", refused)
		line(map[string]any{"level": "warn", "pipeline": "logs", "part": "sink pg", "reason": refused, "message": "waiting"})
		time.Sleep(299 * time.Second)
		line(nil)
		time.Sleep(2 * time.Second)
		line(map[string]any{"level": "warn", "pipeline": "logs", "part": "sink pg", "reason": refused, "message": "has been waiting for 5 m"})
		meter.Waiting("sink pg", "")
		line(map[string]any{"level": "info", "pipeline": "logs", "part": "sink pg", "message": "resumed after 5 m"})
		meter.WaitingFor(health.Expected, "partition 0.0", "not there yet")
		line(map[string]any{"level": "info", "pipeline": "logs", "part": "partition 0.0", "reason": "not there yet", "message": "waiting"})
		meter.WaitingFor(health.Expected, "partition 1.0", "another reason")
		line(map[string]any{"level": "info", "pipeline": "logs", "part": "partition 1.0", "parts": 2.0, "reason": "another reason", "message": "waiting"})
		end()
		meter.Waiting("partition 0.0", "")
		meter.Waiting("partition 1.0", "")
		line(nil)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
