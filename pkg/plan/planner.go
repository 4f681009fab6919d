package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// Planner plans one pipeline and watches over it. Several planners of one pipeline do
// no harm, even with different configurations: each reads the plan anew at every look
// and judges by it alone, and everything they write is a compare-and-set of what was
// judged, or can be repeated. Its fields are set before use and not changed after.
type Planner struct {
	Source Source
	State  *queue.State
	Tasks  *queue.Tasks
	Log    *queue.Log
	Config *config.Pipeline
	Every  time.Duration // between looks; default 250 ms
	Notify func(Status)  // told after every look; nil: nobody
	OnWait func(error)   // told why looks fail, with each that does, and nil when one does not; nil: nobody

	// AskSinks is how long a new plan waits for the sinks to say what they hold before
	// blocks are queued that all of them may hold already; 0: it does not ask.
	AskSinks time.Duration

	// Retry loads failed partitions again, once, when Run begins.
	Retry bool

	// Gone tells whether a sink has stopped for good in this process, so that
	// nothing waits for it; nil: none has.
	Gone   func(sink string) bool
	Logger zerolog.Logger
}

// Plan writes down what the pipeline is, the first time, and checks ever after
// that it is still the same. Only the range and the sinks may change: blocks that are
// new in it are planned, blocks that have left it are kept where they are. Where the
// live lane of a new plan begins is tentative until [Planner.Run] has heard the sinks.
func (p *Planner) Plan(ctx context.Context, c *Checked) (queue.Spec, error) {
	spec, err := p.draft(c)
	if err != nil {
		return queue.Spec{}, err
	}
	for {
		old, rev, err := p.State.LoadSpec(ctx)
		switch {
		case errors.Is(err, queue.ErrNotFound):
		case err != nil:
			return queue.Spec{}, fmt.Errorf("read the plan: %w", err)
		default:
			if err := same(p.Config.Name, old, spec, c); err != nil {
				return queue.Spec{}, err
			}
			spec.Epoch, spec.Planned = old.Epoch, old.Planned
			if old.Live != nil {
				spec.Live = old.Live // the live lane stays where it began
			}
		}
		if spec.Live == nil && c.Follow {
			if spec.Live, err = c.Origin(ctx, p.Source); err != nil {
				return queue.Spec{}, err
			}
		}
		switch {
		case spec.Follows():
			spec.History.End = max(spec.History.Start, spec.Live.Start)
		case spec.Live != nil: // the lane begins at max_block or above, and brings nothing
			spec.History.End = max(spec.History.Start, *spec.MaxBlock)
		}
		_, err = p.State.SaveSpec(ctx, spec, rev)
		if errors.Is(err, queue.ErrConflict) {
			continue // another planner was faster; look at what it wrote
		}
		if err != nil {
			return queue.Spec{}, fmt.Errorf("write the plan: %w", err)
		}
		return spec, nil
	}
}

// Draft returns the plan that [Planner.Plan] writes if there is none, without the origin of
// the live lane, which takes some hundred bytes and the source's time.
func (p *Planner) Draft(c *Checked) (queue.Spec, error) { return p.draft(c) }

// draft is the plan as the configuration and the server have it.
func (p *Planner) draft(c *Checked) (queue.Spec, error) {
	schema, err := entry.MarshalSchema(c.Schema)
	if err != nil {
		return queue.Spec{}, fmt.Errorf("write the schema: %w", err)
	}
	sinks := make([]string, len(p.Config.Sinks))
	for i, s := range p.Config.Sinks {
		sinks[i] = s.Name
	}
	return queue.Spec{
		// Later than that of any plan that was lost with the state of NATS.
		Epoch:       uint64(time.Now().Unix()),
		Query:       c.Query.Text(),
		BlockColumn: c.BlockColumn(),
		Schema:      schema,
		Network:     c.Network,
		History:     c.History(p.Config.Range),
		MaxBlock:    p.Config.Range.MaxBlock,
		Sinks:       sinks,
		Planned:     time.Now().UTC(),
	}, nil
}

// same refuses a pipeline whose name was used for something else: its log and
// its destinations hold other rows.
func same(name string, old, now queue.Spec, c *Checked) error {
	change := ""
	oldSchema, err := entry.UnmarshalSchema(old.Schema)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema of the plan: %w", err)
	case old.Query != now.Query:
		change = fmt.Sprintf("its query was\n  %s\nand is now\n  %s", old.Query, now.Query)
	case old.BlockColumn != now.BlockColumn:
		change = fmt.Sprintf("its block column was %q and is now %q", old.BlockColumn, now.BlockColumn)
	case entry.Fingerprint(oldSchema) != entry.Fingerprint(c.Schema):
		change = "the server's columns for the same query have changed"
	case old.Network != "" && now.Network != "" && old.Network != now.Network:
		change = fmt.Sprintf("its network was %q and is now %q", old.Network, now.Network)
	default:
		return nil
	}
	return fault.Permanent(fmt.Errorf("pipeline %q was planned as something else: %s.\n"+
		"Give the new pipeline another name (and another table)", name, change))
}
