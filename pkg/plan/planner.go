package plan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// Planner plans one pipeline and keeps it to the plan. Several planners of one pipeline do
// no harm, even with different configurations: each reads the plan anew in every round
// and follows it alone, and everything they write is a compare-and-set of what was read,
// or can be repeated. Its fields are set before use and not changed after.
type Planner struct {
	Source Source
	State  *queue.State
	Tasks  *queue.Tasks
	Log    *queue.Log
	Config *config.Pipeline
	Every  time.Duration // between rounds, at least; default 250 ms
	Notify func(Status)  // called after every round; nil: nobody
	OnWait func(error)   // called after each round with why it failed, or nil; nil: nobody

	// AskSinks is how long a new plan waits for the sinks to say what they hold before
	// blocks are queued that all of them may hold already; 0: it does not ask.
	AskSinks time.Duration

	// BeforeCut finds out what Cut needs, each time that partitions are made; nil: nothing.
	BeforeCut func(context.Context) error

	// Cut divides blocks into the partitions that are made of them now; nil: each has as many
	// blocks as Run is told.
	Cut func(block.Range) iter.Seq[block.Range]

	// Retry loads failed partitions again, once, when Run begins.
	Retry bool

	// SinkStopped reports whether a sink has stopped for good in this process, so that
	// nothing waits for it; nil: none has.
	SinkStopped func(sink string) bool
	Logger      zerolog.Logger
}

// Plan writes the plan of the pipeline the first time, and later checks that the
// configuration still fits it. The range and the sinks may change: blocks that are
// new in it are planned, blocks that have left it are kept where they are. So may the
// query, as long as it yields the same columns. Where the live lane of a new plan begins is
// tentative until [Planner.Run] has heard from the sinks.
func (p *Planner) Plan(ctx context.Context, c *Checked) (state.Spec, error) {
	spec, err := p.Draft(c)
	if err != nil {
		return state.Spec{}, err
	}
	for {
		old, rev, err := p.State.LoadSpec(ctx)
		switch {
		case errors.Is(err, queue.ErrNotFound):
		case err != nil:
			return state.Spec{}, fmt.Errorf("read the plan: %w", err)
		default:
			if err := CanContinue(p.Config.Name, old, c); err != nil {
				return state.Spec{}, err
			}
			continues(&spec, old)
		}
		if spec.Live == nil && c.Follow {
			if spec.Live, err = c.Origin(ctx, p.Source); err != nil {
				return state.Spec{}, err
			}
		}
		switch {
		case spec.Follows():
			end := spec.Live.Start
			if old.Follows() { // between the two is what the lane has brought in earlier epochs
				end = min(end, old.History.End)
			}
			spec.History.End = max(spec.History.Start, end)
		case spec.Live != nil: // the lane begins at max_block or above, and brings nothing
			spec.History.End = max(spec.History.Start, *spec.MaxBlock)
		}
		_, err = p.save(ctx, &spec, rev)
		if errors.Is(err, queue.ErrConflict) {
			continue // another planner was faster; read what it wrote
		}
		if err != nil {
			return state.Spec{}, fmt.Errorf("write the plan: %w", err)
		}
		if spec.Version > old.Version {
			p.Logger.Info().Int("version", spec.Version).
				Msg("the query has changed and yields the same columns: what is loaded stays, and everything else is read with it. " +
					"To read all again, name another pipeline and another table")
		}
		return spec, nil
	}
}

// Draft returns the plan that [Planner.Plan] writes if there is none, without the origin of
// the live lane, which takes some hundred bytes and the source's time.
func (p *Planner) Draft(c *Checked) (state.Spec, error) {
	schema, err := entry.MarshalSchema(c.Schema)
	if err != nil {
		return state.Spec{}, fmt.Errorf("write the schema: %w", err)
	}
	return state.Spec{
		// Later than that of any plan that was lost with the state of NATS.
		Epoch:       uint64(time.Now().Unix()),
		Query:       c.Query.Text(),
		BlockColumn: c.BlockColumn(),
		Schema:      schema,
		Network:     c.Network,
		History:     c.History(p.Config.Range),
		MaxBlock:    p.Config.Range.MaxBlock,
		Sinks:       p.configured(),
		Planned:     time.Now().UTC(),
	}, nil
}

// configured returns the names of the sinks of the configuration.
func (p *Planner) configured() []string {
	names := make([]string, len(p.Config.Sinks))
	for i, s := range p.Config.Sinks {
		names[i] = s.Name
	}
	return names
}

// continues makes spec the successor of the plan old. With another query the live lane
// begins again, in an epoch of its own, from what every sink has: a process that still
// writes it with the query before is of an earlier epoch.
func continues(spec *state.Spec, old state.Spec) {
	spec.Epoch, spec.Planned = old.Epoch, old.Planned
	spec.Version, spec.Earlier, spec.LiveFrom = old.Version, old.Earlier, old.LiveFrom
	if old.Live != nil {
		origin := *old.Live
		spec.Live = &origin // the live lane stays where it began
	}
	if old.Query == spec.Query {
		return
	}
	spec.Earlier = append(slices.Clone(old.Earlier), state.Earlier{Version: old.Version, Query: old.Query, LiveFrom: old.FirstLive()})
	spec.Version, spec.LiveFrom = old.Version+1, nil
	spec.Epoch = max(old.Epoch+1, uint64(time.Now().Unix()))
	if spec.Live != nil {
		spec.Live.Tentative = true
	}
}

// CanContinue returns an error unless the query may take over a pipeline that was
// planned as old: its log and its destinations would hold other rows.
func CanContinue(name string, old state.Spec, c *Checked) error {
	change := ""
	oldSchema, err := entry.UnmarshalSchema(old.Schema)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema of the plan: %w", err)
	case old.BlockColumn != c.BlockColumn():
		change = fmt.Sprintf("its block column was %q and is now %q", old.BlockColumn, c.BlockColumn())
	case entry.Fingerprint(oldSchema) != entry.Fingerprint(c.Schema):
		change = "its columns were " + describe(oldSchema) + " and are now " + describe(c.Schema)
	case old.Network != "" && c.Network != "" && old.Network != c.Network:
		change = fmt.Sprintf("its network was %q and is now %q", old.Network, c.Network)
	default:
		return nil
	}
	return fault.Permanent(fmt.Errorf("pipeline %q was planned as something else: %s. "+
		"Give the new pipeline another name and another table, or have the query yield what it did", name, change))
}

// describe lists the columns of a schema with their types.
func describe(schema *arrow.Schema) string {
	fields := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		fields[i] = fmt.Sprintf("%s %s", f.Name, f.Type)
	}
	return strings.Join(fields, ", ")
}
