package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

// Keys of a pipeline's documents.
const (
	keySpec      = "spec"
	keyPartition = "partition"
	keySink      = "sink"
	keyLive      = "live"
)

// SaveSpec writes the plan. rev is the revision it was read with, 0 if there
// must not be one yet; otherwise the error is [ErrConflict].
func (s *State) SaveSpec(ctx context.Context, spec state.Spec, rev uint64) (newRev uint64, err error) {
	if err := checkSpec(spec, s.conn.MaxPayload(), s.conn.server != nil); err != nil {
		return 0, err
	}
	return s.save(ctx, keySpec, spec, rev)
}

// save creates a document if rev is 0, and updates it otherwise.
func (s *State) save(ctx context.Context, key string, value any, rev uint64) (newRev uint64, err error) {
	if rev == 0 {
		return s.Create(ctx, key, value)
	}
	return s.Update(ctx, key, value, rev)
}

// CheckSpec returns the error with which [State.SaveSpec] refuses a plan that is larger
// than a message may be, of which the query is nearly all. maxPayload is that of the
// server, 0 of an embedded one.
func CheckSpec(spec state.Spec, maxPayload int) error {
	return checkSpec(spec, cmp.Or(maxPayload, EmbeddedPayload), maxPayload == 0)
}

func checkSpec(spec state.Spec, maxPayload int, embedded bool) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return fault.Permanent(fmt.Errorf("write the plan: %w", err))
	}
	limit := maxPayload - headerRoom
	if len(text) <= limit {
		return nil
	}
	raise := "raise max_payload of the NATS server"
	if embedded {
		raise = "set nats.url to a NATS server of its own with a larger max_payload"
	}
	return fault.Permanent(&PlanTooLargeError{fmt.Errorf("the plan takes %s in NATS, with a query of %s, and a message may have %s: %s, "+
		"or shorten source.query, such as by a JOIN with a table that holds the long list",
		Size(int64(len(text))), Size(int64(len(spec.Query))), Size(int64(limit)), raise)})
}

// PlanTooLargeError is a plan that does not fit a message.
type PlanTooLargeError struct{ error }

// LoadSpec reads the plan, or returns [ErrNotFound].
func (s *State) LoadSpec(ctx context.Context) (spec state.Spec, rev uint64, err error) {
	return Get[state.Spec](ctx, s, keySpec)
}

// WatchSpec calls fn with the plan and with each change of it; see [Watch].
func (s *State) WatchSpec(ctx context.Context, fn func(spec state.Spec, rev uint64) error) error {
	return Watch(ctx, s, keySpec, fn)
}

// WaitSpec waits until the pipeline is planned and returns the plan.
func (s *State) WaitSpec(ctx context.Context) (spec state.Spec, rev uint64, err error) {
	found := errors.New("found")
	err = s.WatchSpec(ctx, func(now state.Spec, at uint64) error {
		spec, rev = now, at
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return spec, rev, err
}

// Partitions reads the records of all partitions, in the order in which they were written: of a block that
// several have held, the last one has what became of it.
func (s *State) Partitions(ctx context.Context) ([]Stored[state.Partition], error) {
	all, err := List[state.Partition](ctx, s, keyPartition)
	slices.SortFunc(all, func(a, b Stored[state.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	return all, err
}

// Partition reads one partition by its [state.Partition.ID], or returns [ErrNotFound].
func (s *State) Partition(ctx context.Context, id string) (p state.Partition, rev uint64, err error) {
	return Get[state.Partition](ctx, s, keyPartition+"."+id)
}

// CreatePartition writes a new partition, or returns [ErrConflict] if there is one
// of that start and generation.
func (s *State) CreatePartition(ctx context.Context, p state.Partition) (rev uint64, err error) {
	return s.Create(ctx, keyPartition+"."+p.ID(), p)
}

// UpdatePartition writes a partition that still has revision rev, or returns
// [ErrConflict].
func (s *State) UpdatePartition(ctx context.Context, p state.Partition, rev uint64) (newRev uint64, err error) {
	return s.Update(ctx, keyPartition+"."+p.ID(), p, rev)
}

// PutReport writes what a sink reports about itself.
func (s *State) PutReport(ctx context.Context, r state.SinkReport) error {
	if err := checkName("sink", r.Name); err != nil {
		return err
	}
	_, err := s.Put(ctx, keySink+"."+r.Name, r)
	return err
}

// Report returns what one sink has last reported, or [ErrNotFound].
func (s *State) Report(ctx context.Context, sink string) (r state.SinkReport, rev uint64, err error) {
	if err := checkName("sink", sink); err != nil {
		return state.SinkReport{}, 0, err
	}
	return Get[state.SinkReport](ctx, s, keySink+"."+sink)
}

// LivePosition reads the position of the live lane, or returns [ErrNotFound].
func (s *State) LivePosition(ctx context.Context) (live state.LivePosition, rev uint64, err error) {
	return Get[state.LivePosition](ctx, s, keyLive)
}

// SaveLivePosition writes the position of the live lane. Only the holder of its task
// does, and the planner while there is none. rev is the revision that the position had
// when it was last read or written, 0 if there was none; if it has another by now, another
// process writes the lane and the error is [ErrConflict].
func (s *State) SaveLivePosition(ctx context.Context, live state.LivePosition, rev uint64) (newRev uint64, err error) {
	live.Updated = time.Now().UTC()
	return s.save(ctx, keyLive, live, rev)
}
