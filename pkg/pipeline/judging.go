package pipeline

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/status"
)

// judgeEvery is how often the planner's process reads how its pipeline is as a whole.
const judgeEvery = 15 * time.Second

// judge has the progress line, the metrics and the probes of this process say what ampipe
// status says, until ctx ends. It reads what that reads: now and then, and soon after this
// process has met something itself.
func (s *stages) judge(ctx context.Context) {
	options := status.Options{Embedded: s.config.NATS.Embedded != "", CommitDelays: commitDelays(s.config)}
	var stale <-chan struct{} // not for the first, which is soon anyway
	for pause := time.Second; ; pause, stale = judgeEvery, s.meter.Stale() {
		select {
		case <-ctx.Done():
			return
		case <-stale:
			if fault.Sleep(ctx, progress.Settles) != nil {
				return
			}
		case <-time.After(pause):
		}
		reading, done := context.WithTimeout(ctx, readTimeout)
		facts, err := status.Read(reading, s.conn.Conn, s.config.Name)
		done()
		if ctx.Err() != nil {
			return
		}
		p := status.Build(facts, options)
		if err != nil {
			p = status.Unseen(s.config.Name, err)
		}
		s.meter.Judge(p.Judgement())
	}
}
