package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// version is a query that the pipeline has or had.
type version struct {
	number int
	query  string
	blocks block.Set     // of which it is the query that read them last, as far as is known
	live   *block.Number // from which on it brings the live chain; nil: it does not, any more
	any    block.Set     // that it may have loaded; what a later query has read again stays as it was loaded first
}

// record is what the state in NATS holds about a pipeline that was planned before.
type record struct {
	spec     state.Spec
	versions []version // the latest first
	paused   []string  // which sinks a person has paused, and since when
}

// readTimeout is how long a command that only reads waits for the state in NATS.
const readTimeout = 10 * time.Second

// readRecord reads what is known of a pipeline from the state of NATS, and changes
// nothing. It returns nil for one that was not planned yet. also, if not nil, is called
// with the connection of a pipeline that was.
func readRecord(
	ctx context.Context, p *config.Pipeline, log zerolog.Logger, also func(context.Context, *natsConn) error,
) (_ *record, err error) {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if p.NATS.Embedded != "" {
		if _, err := os.Stat(p.NATS.Embedded); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	conn, err := openNATS(ctx, p.NATS, roleOperator, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	kv, err := conn.State(ctx, p.Name)
	if errors.Is(err, queue.ErrNoStream) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	spec, _, err := kv.LoadSpec(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	parts, err := kv.Partitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read partitions: %w", err)
	}
	if also != nil {
		err := also(whole, conn)
		if err != nil {
			return nil, err
		}
	}
	r := &record{spec: spec, versions: versionsOf(spec, parts)}
	for _, sink := range sinkNames(p) {
		pause, err := kv.Pause(ctx, sink)
		if err != nil {
			return nil, err
		}
		if pause.Paused {
			r.paused = append(r.paused, fmt.Sprintf("sink %s is %s", sink, pause.Reason(sink)))
		}
	}
	return r, nil
}

// versionsOf finds which blocks each query of a plan has read last, and which it may have
// loaded: of the history, those of its partitions; of the live lane, those from where the
// query took over to where the next one did. parts are in the order in which they were
// written.
func versionsOf(spec state.Spec, parts []queue.Stored[state.Partition]) []version {
	all := make([]version, 0, len(spec.Earlier)+1)
	for _, e := range spec.Earlier {
		all = append(all, version{number: e.Version, query: e.Query})
	}
	all = append(all, version{number: spec.Version, query: spec.Query})
	for _, p := range parts {
		for i := range all {
			switch {
			case p.Value.Held: // any of them may have loaded it
				all[i].any.Add(p.Value.Range())
			case all[i].number == p.Value.Version:
				all[i].blocks.Add(p.Value.Range())
				all[i].any.Add(p.Value.Range())
			default:
				all[i].blocks.Remove(p.Value.Range())
			}
		}
	}
	next := block.Max + 1
	if first := spec.FirstLive(); first != nil {
		all[len(all)-1].live, next = first, *first
	}
	for i, e := range slices.Backward(spec.Earlier) {
		if e.LiveFrom != nil && *e.LiveFrom < next {
			live := block.Range{Start: *e.LiveFrom, End: next}
			all[i].blocks.Add(live)
			all[i].any.Add(live)
			next = *e.LiveFrom
		}
	}
	slices.Reverse(all)
	return all
}

// describeRecord prints which sinks of a pipeline are paused and which blocks each of its
// queries has loaded, or refuses a query that cannot take over.
func (c *checkup) describeRecord(ctx context.Context, p *config.Pipeline, checked *plan.Checked, log zerolog.Logger) error {
	r, err := readRecord(ctx, p, log, nil)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		c.warn(partNATS, fmt.Sprintf("whether the query may take over what was planned before was not looked at: %v", err))
		return nil
	case r == nil:
		return nil
	}
	for _, paused := range r.paused {
		c.warn(partNATS, paused)
	}
	if err := plan.CanContinue(p.Name, r.spec, checked); err != nil {
		return err
	}
	if r.spec.Query != checked.Query.Text() {
		c.say("mended    the query has changed and yields the same columns: "+
			"it becomes version %d, and loads what is not loaded", r.spec.Version+1)
	}
	if len(r.versions) < 2 {
		return nil
	}
	for _, v := range r.versions {
		live := ""
		if v.live != nil {
			live = fmt.Sprintf(", and the live chain from block %d on", *v.live)
		}
		c.say("version %d of the query: blocks %v%s", v.number, v.blocks, live)
	}
	return nil
}

// earlier returns the versions before the configured query, with what is needed to read
// the source with each. Before a mended query was run, the plan's own is one of them.
func (r *record) earlier(checked *plan.Checked) ([]earlierQuery, error) {
	if r == nil || plan.CanContinue("", r.spec, checked) != nil {
		return nil, nil
	}
	var all []earlierQuery
	for _, v := range r.versions {
		if v.query == checked.Query.Text() {
			continue
		}
		query, err := sqlcheck.Parse(v.query)
		if err != nil {
			return nil, fmt.Errorf("read version %d of the query: %w", v.number, err)
		}
		before := *checked
		before.Query = query
		all = append(all, earlierQuery{version: v, checked: &before})
	}
	return all, nil
}

// earlierQuery is a version that the source can be read with.
type earlierQuery struct {
	version
	checked *plan.Checked
}
