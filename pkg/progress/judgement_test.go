package progress_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
)

// TestTheSentenceKnowsOfThisProcess: it is left out while it may not know of what this process
// has met, and what it says is not said again.
func TestTheSentenceKnowsOfThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("lake")
		says := func(want string) {
			t.Helper()
			if got := m.Line(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			probes := health.Healthy(time.Now(), []health.Pipeline{m.Health("logs")}).Pipelines
			judged := !strings.Contains(want, "nothing to do yet") && !strings.Contains(want, "STOPPED")
			if len(probes) > 0 != judged || (judged && probes[0] != (health.Whole{Pipeline: "logs", Level: "degraded", Sentence: want})) {
				t.Errorf("beside %q the probes say %+v", want, probes)
			}
		}
		says("nothing to do yet")
		m.Judge(progress.Judgement{Level: "degraded", Sentence: "live; everything loaded"})
		says("live; everything loaded")
		m.Waiting("sink lake", "refused")
		<-m.Stale()
		says("nothing to do yet | sink lake waits: refused")
		m.Judge(progress.Judgement{Level: "degraded", Sentence: "live; everything loaded"}) // read before the wait was reported
		says("nothing to do yet | sink lake waits: refused")
		time.Sleep(7 * time.Second)
		m.Judge(progress.Judgement{Level: "degraded", Sentence: "lake is paused: refused"})
		says("lake is paused: refused")
		block := m.Snapshot().Block("logs", 80)
		if text := strings.Join(block, "\n"); strings.Count(text, "refused") != 1 || !strings.Contains(text, "status  lake is paused: refused") {
			t.Errorf("the block is\n%s", text)
		}
		m.Stopped("lake", "a bad row")
		says("lake STOPPED: a bad row")
		time.Sleep(7 * time.Second)
		m.Judge(progress.Judgement{Level: "degraded", Sentence: "lake is stopped: a bad row"})
		says("lake is stopped: a bad row")
	})
}
