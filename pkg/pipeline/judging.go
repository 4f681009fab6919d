package pipeline

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/status"
)

// judgeEvery is how often the planner's process reads how its pipeline is as a whole.
const judgeEvery = 15 * time.Second

// judge has the progress line and the metrics of this process say what ampipe status says,
// until ctx ends. It reads what that reads.
func (s *stages) judge(ctx context.Context) {
	options := status.Options{Embedded: s.config.NATS.Embedded != "", CommitDelays: commitDelays(s.config)}
	for first := time.Second; fault.Sleep(ctx, first) == nil; first = judgeEvery {
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
