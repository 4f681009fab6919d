package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// Drop removes a pipeline of which nothing runs from NATS: its log, its tasks, its dead
// letters and its state.
// Destinations stay as they are. Unless it is confirmed it only prints what would go.
// Interrupted, it can be given again.
func Drop(ctx context.Context, p *config.Pipeline, o Options, confirmed bool) error {
	return readFacts(ctx, p, steerNATS, o.Logger, func(ctx context.Context, conn *natsConn, f status.Facts) error {
		who := runningFor(f, conn, func(string) bool { return true })
		if who != "" {
			return fault.Permanent(fmt.Errorf("pipeline %q runs in %s: stop all of its processes first", p.Name, who))
		}
		say(o.out(), "%s: the log, %s in %s; the plan and %s; how far %s: %s", p.Name,
			queue.Size(int64(f.Log.Bytes)), counted(f.Log.Messages, "entry"), counted(partitionCount(f.Parts), "partition"),
			map[bool]string{true: "its sink is", false: "its sinks are"}[len(f.Spec.Sinks) == 1], strings.Join(f.Spec.Sinks, ", "))
		letters, err := conn.DeadLetterSinks(ctx, p.Name)
		if err != nil {
			return err
		}
		all := make([]*queue.DeadLetters, len(letters))
		for i, sink := range letters {
			some := 0
			all[i], some, err = lettersOf(ctx, conn, p.Name, sink)
			if err != nil {
				return err
			}
			if some > 0 {
				say(o.out(), "%s: %s of sink %s, rows that are not in its destination", p.Name, counted(some, "dead letter"), sink)
			}
		}
		say(o.out(), "%s: the destinations stay as they are; what they hold is not read again by a pipeline of the same name and tables", p.Name)
		if !confirmed {
			return ops.Config(fmt.Errorf("pipeline %q: nothing was removed: give --yes to remove this from NATS", p.Name))
		}
		kv, err := conn.State(ctx, p.Name)
		if err != nil {
			return err
		}
		tasks, err := conn.Tasks(ctx, p.Name)
		if err == nil {
			err = tasks.Forget(ctx)
		}
		if err != nil && !errors.Is(err, queue.ErrNoStream) {
			return err
		}
		log, err := conn.Log(ctx, p.Name, queue.LogConfig{})
		if err == nil {
			err = log.Delete(ctx)
		}
		if err != nil && !errors.Is(err, queue.ErrNoStream) {
			return err
		}
		for _, one := range all {
			if err := removeLetters(ctx, one); err != nil {
				return err
			}
		}
		if err := kv.Forget(ctx); err != nil { // last: it says that the pipeline is there
			return err
		}
		say(o.out(), "%s: removed", p.Name)
		return nil
	})
}

// partitionCount returns how many partitions records stand for.
func partitionCount(records []state.Partition) (n int) {
	for _, p := range records {
		n += p.Count()
	}
	return n
}
