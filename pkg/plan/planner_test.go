package plan_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var rows = arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)

// env is a planner on a queue of its own, with one sink that the test plays.
type env struct {
	t *testing.T
	*plan.Planner
	server  *queue.Server
	encoder *entry.Encoder
	status  chan plan.Status
}

func setup(t *testing.T) *env {
	t.Helper()
	ctx := t.Context()
	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	conn, err := queue.Open(ctx, queue.Config{Server: server})
	must(t, err)
	t.Cleanup(conn.Close)
	log, err := conn.Log(ctx, "test", queue.LogConfig{MaxBytes: 64 << 20})
	must(t, err)
	tasks, err := conn.Tasks(ctx, "test")
	must(t, err)
	state, err := conn.State(ctx, "test")
	must(t, err)
	encoder, err := entry.NewEncoder(rows, entry.None, conn.EntryLimit())
	must(t, err)
	d := &env{t: t, server: server, encoder: encoder, status: make(chan plan.Status)}
	d.Planner = &plan.Planner{
		State: state, Tasks: tasks, Log: log, Every: 5 * time.Millisecond, Logger: zerolog.New(zerolog.NewTestWriter(t)),
		Config: &config.Pipeline{
			Name: "test", Log: config.Log{Replay: 0},
			Sinks: []config.Sink{{Name: "warehouse"}},
		},
	}
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watch runs the planner for a history until the test ends or it is complete.
func (d *env) watch(history block.Range, size uint64) (ended chan error) {
	d.t.Helper()
	ctx, stop := context.WithCancel(d.t.Context())
	ended = make(chan error, 1)
	d.Notify = func(s plan.Status) {
		select {
		case d.status <- s:
		case <-ctx.Done():
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := d.Run(ctx, state.Spec{History: history}, size)
		ended <- err
	}()
	d.t.Cleanup(func() {
		stop()
		<-done
	})
	return ended
}

// until reads statuses until one is as wanted.
func (d *env) until(what string, want func(plan.Status) bool) plan.Status {
	d.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case s := <-d.status:
			if want(s) {
				return s
			}
		case <-limit:
			d.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// extract plays an extractor: it ends the task of a partition and puts one entry
// without rows into its lane.
func (d *env) extract(as state.PartitionState) state.Partition {
	d.t.Helper()
	ctx := d.t.Context()
	task, err := d.Tasks.Next(ctx, queue.PartitionTask)
	must(d.t, err)
	p, rev, err := d.State.Partition(ctx, task.ID)
	must(d.t, err)
	for p.State != state.PartitionOpen { // it was queued again while it ended; extractors leave it, too
		must(d.t, task.Done(ctx))
		task, err = d.Tasks.Next(ctx, queue.PartitionTask)
		must(d.t, err)
		p, rev, err = d.State.Partition(ctx, task.ID)
		must(d.t, err)
	}
	if as == state.PartitionDone {
		e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "test", Range: p.Range(), End: p.End}, nil)
		must(d.t, err)
		_, err = d.Log.Publish(ctx, p.Lane(), 0, p.ID(), entry.Group{e})
		must(d.t, err)
	}
	p.State = as
	_, err = d.State.UpdatePartition(ctx, p, rev)
	must(d.t, err)
	must(d.t, task.Done(ctx))
	return p
}

// apply plays a sink that acknowledges everything and covers only some of it.
func (d *env) apply(messages int, cover func(block.Range) bool) block.Set {
	d.t.Helper()
	consumer, err := d.Log.Consume(d.t.Context(), "warehouse", queue.ConsumeOptions{})
	must(d.t, err)
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	var coverage block.Set
	for range messages {
		m, err := consumer.Next(ctx)
		if err != nil {
			log, logErr := d.Log.State(d.t.Context())
			at, atErr := d.Log.Position(d.t.Context(), "warehouse", queue.History)
			d.t.Fatalf("of %d messages %v have come: %v; the log is %+v, %v; the position %+v, %v", messages, coverage, err, log, logErr, at, atErr)
		}
		if cover(m.Entry.Range) {
			coverage.Add(m.Entry.Range)
		}
		must(d.t, m.Ack())
	}
	return coverage
}

func (d *env) report(coverage block.Set) {
	d.t.Helper()
	must(d.t, d.State.PutReport(d.t.Context(), state.SinkReport{
		Name: "warehouse", Coverage: coverage, State: "running", Read: time.Now(),
	}))
}

func all(block.Range) bool { return true }

func TestRunEndsWhenEverySinkHasEverything(t *testing.T) {
	d := setup(t)
	ended := d.watch(block.Range{Start: 0, End: 30}, 10)
	d.until("three partitions", func(s plan.Status) bool { return len(s.Partitions) == 3 })
	go func() {
		for range d.status {
		}
	}()
	for range 3 {
		d.extract(state.PartitionDone)
	}
	d.report(d.apply(3, all))
	must(t, <-ended)
	close(d.status)
}

// TestLostBlocksAreLoadedAgain lets a sink acknowledge an entry that never
// reaches the destination.
func TestLostBlocksAreLoadedAgain(t *testing.T) {
	d := setup(t)
	d.watch(block.Range{Start: 0, End: 30}, 10)
	d.until("three partitions", func(s plan.Status) bool { return len(s.Partitions) == 3 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			d.extract(state.PartitionDone)
		}
		d.report(d.apply(3, func(r block.Range) bool { return r.Start != 10 }))
	}()
	for drained := false; !drained; {
		select {
		case <-d.status:
		case <-done:
			drained = true
		}
	}
	s := d.until("the sink is at the end", func(s plan.Status) bool { return s.Sinks[0].Position.Pending == 0 })
	if len(s.Partitions) != 3 {
		t.Fatalf("%d partitions before the sink has reported again: what it lacks may be on its way", len(s.Partitions))
	}
	// This one may be of a reading that began before the last commit.
	d.report(s.Sinks[0].Report.Coverage)
	read := s.Sinks[0].Report.Read
	s = d.until("it has reported again", func(s plan.Status) bool { return s.Sinks[0].Report.Read.After(read) })
	if s = d.until("another round", func(plan.Status) bool { return true }); len(s.Partitions) != 3 {
		t.Fatalf("%d partitions after one more report: what it lacks may have been committed meanwhile", len(s.Partitions))
	}
	d.report(s.Sinks[0].Report.Coverage)
	s = d.until("the lost blocks are queued", func(s plan.Status) bool { return len(s.Partitions) == 4 })
	for _, p := range s.Partitions {
		if p.Generation == 1 && p.Range() != (block.Range{Start: 10, End: 20}) {
			t.Errorf("loaded again: %v", p.Range())
		}
	}
	again := make(chan state.Partition, 1)
	go func() { again <- d.extract(state.PartitionDone) }()
	for {
		select {
		case <-d.status:
			continue
		case p := <-again:
			if p.ID() != "10.1" {
				t.Errorf("the task is %s, want 10.1", p.ID())
			}
		}
		break
	}
}

func TestFailedPartitionsDoNotHoldUpTheEnd(t *testing.T) {
	d := setup(t)
	ended := d.watch(block.Range{Start: 0, End: 20}, 10)
	go func() {
		for range d.status {
		}
	}()
	failed := d.extract(state.PartitionFailed)
	d.extract(state.PartitionDone)
	d.report(d.apply(1, all))
	must(t, <-ended)
	close(d.status)
	if failed.Range().Len() != 10 {
		t.Errorf("failed %v", failed.Range())
	}
}

// TestLostBlocksThatFailedAreLoadedAgainWhenWanted, though the partition that brought them
// first is done.
func TestLostBlocksThatFailedAreLoadedAgainWhenWanted(t *testing.T) {
	d := setup(t)
	ctx := t.Context()
	must(t, second(d.State.CreatePartition(ctx, part(0, 20, 0, state.PartitionDone))))
	must(t, second(d.State.CreatePartition(ctx, part(10, 20, 0, state.PartitionFailed))))
	d.Retry = true
	d.watch(block.Range{Start: 0, End: 20}, 10)
	d.until("a partition more", func(s plan.Status) bool {
		return slices.ContainsFunc(s.Partitions, func(p state.Partition) bool { return p.ID() == "10.1" && p.State == state.PartitionOpen })
	})
}

func TestFailedPartitionsAreLoadedAgainWhenWanted(t *testing.T) {
	d := setup(t)
	ctx := t.Context()
	must(t, second(d.State.CreatePartition(ctx, part(0, 10, 0, state.PartitionFailed))))
	must(t, second(d.State.CreatePartition(ctx, part(10, 20, 0, state.PartitionDone))))
	d.Retry = true
	d.watch(block.Range{Start: 0, End: 20}, 10)
	s := d.until("a partition more", func(s plan.Status) bool { return len(s.Partitions) == 3 })
	if !slices.ContainsFunc(s.Partitions, func(p state.Partition) bool { return p.ID() == "0.1" && p.State == state.PartitionOpen }) {
		t.Errorf("partitions %+v", s.Partitions)
	}
	looked, enough := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-d.status:
			case <-enough:
				return
			}
		}
	}()
	if p := d.extract(state.PartitionFailed); p.ID() != "0.1" {
		t.Errorf("the task is %s", p.ID())
	}
	close(enough)
	<-looked
}

// TestTrimCopiesPositions fills more than half of the log, with an open lane
// whose messages every sink has.
func TestTrimCopiesPositions(t *testing.T) {
	d := setup(t)
	ctx := t.Context()
	d.Config.Log.Replay = 72 * time.Hour // yields to a full log
	must(t, second(d.State.CreatePartition(ctx, state.Partition{Start: 0, End: 100, State: state.PartitionOpen})))
	const entries = 10
	var seq uint64
	for i := range block.Number(entries) {
		e := entry.Entry{Payload: make([]byte, 4<<20), Header: entry.Header{
			Kind: entry.Data, Codec: entry.None, Network: "test", Schema: entry.Fingerprint(rows), Range: block.Range{Start: 4 * i, End: 4*i + 4},
		}}
		var err error
		seq, err = d.Log.Publish(ctx, "p.0.0", seq, e.Range.String(), entry.Group{e})
		must(t, err)
	}
	d.apply(entries, all)
	d.watch(block.Range{Start: 0, End: 100}, 100)
	d.until("the position is copied", func(s plan.Status) bool { return s.Partitions[0].Next == 40 })
	d.until("the log is trimmed", func(plan.Status) bool {
		state, err := d.Log.State(ctx)
		must(t, err)
		return state.Messages == 0
	})
}

func second[T any](_ T, err error) error { return err }

func TestPlanRefusesToBecomeSomethingElse(t *testing.T) {
	d := setup(t)
	checked := func(query string, schema *arrow.Schema, network string) *plan.Checked {
		q, err := sqlcheck.Parse(query)
		must(t, err)
		return &plan.Checked{Query: q, Schema: schema, Network: network,
			Head: []amp.Range{{Network: network, Numbers: block.Range{Start: 0, End: 1000}}}}
	}
	first := checked("SELECT * FROM a.logs", rows, "mainnet")
	spec, err := d.Plan(t.Context(), first)
	must(t, err)
	if spec.Epoch == 0 || spec.Network != "mainnet" || spec.Query != "SELECT * FROM a.logs" {
		t.Errorf("plan %+v", spec)
	}
	must(t, second(d.Plan(t.Context(), checked("SELECT * FROM a.logs;", rows, "mainnet")))) // the same

	wider := arrow.NewSchema(append(rows.Fields(), arrow.Field{Name: "more", Type: arrow.BinaryTypes.String}), nil)
	for want, c := range map[string]*plan.Checked{
		"columns": checked("SELECT * FROM a.logs", wider, "mainnet"),
		"network": checked("SELECT * FROM a.logs", rows, "base"),
	} {
		if _, err := d.Plan(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "another name") {
			t.Errorf("another %s: %v", want, err)
		}
	}
	mended, err := d.Plan(t.Context(), checked("SELECT * FROM a.logs WHERE true", rows, "mainnet"))
	must(t, err)
	if mended.Version != 1 || mended.Epoch <= spec.Epoch || len(mended.Earlier) != 1 || mended.Earlier[0].Query != spec.Query {
		t.Errorf("a mended query takes over: %+v", mended)
	}
	end := block.Number(500)
	d.Config.Range.MaxBlock = &end
	spec, err = d.Plan(t.Context(), first)
	if err != nil || spec.History.End != 500 {
		t.Errorf("a range may change: %+v, %v", spec.History, err)
	}
	if _, _, err := d.State.LoadSpec(t.Context()); errors.Is(err, queue.ErrNotFound) {
		t.Error("the plan is not written down")
	}
}

// TestPartitionsAreOfNoLaterVersionThanThePlan, even if a planner of an older release,
// which knows of no versions, has written the plan since, or a hand has deleted it: nobody
// would ever read a partition of a later version.
func TestPartitionsAreOfNoLaterVersionThanThePlan(t *testing.T) {
	t.Parallel()
	d := setup(t)
	p := part(0, 50, 0, state.PartitionOpen)
	p.Version = 2
	must(t, second(d.State.CreatePartition(t.Context(), p)))
	d.watch(block.Range{Start: 0, End: 100}, 100)
	d.until("a plan of a version of its own", func(plan.Status) bool {
		spec, _, err := d.State.LoadSpec(t.Context())
		must(t, err)
		return spec.Version == 3
	})
	rest, _, err := d.State.Partition(t.Context(), "50.0")
	if err != nil || rest.Version != 3 {
		t.Errorf("the rest is planned as %+v, %v", rest, err)
	}
}

// TestALargeQueryIsMendedAgainAndAgain, although the plan has no room for all of them.
func TestALargeQueryIsMendedAgainAndAgain(t *testing.T) {
	t.Parallel()
	d := setup(t)
	for version := range 3 {
		list := strings.Repeat("x", queue.EmbeddedPayload*2/5) + strings.Repeat("y", version)
		q, err := sqlcheck.Parse("SELECT * FROM a.logs WHERE name = '" + list + "'")
		must(t, err)
		spec, err := d.Plan(t.Context(), &plan.Checked{Query: q, Schema: rows, Network: "mainnet",
			Head: []amp.Range{{Network: "mainnet", Numbers: block.Range{Start: 0, End: 1000}}}})
		must(t, err)
		stored, _, err := d.State.LoadSpec(t.Context())
		must(t, err)
		if want := min(version, 1); spec.Version != version || len(stored.Earlier) != want || len(spec.Earlier) != want {
			t.Errorf("version %d: %d earlier queries are kept", spec.Version, len(stored.Earlier))
		}
	}
}

// TestRunReturnsWhatItHasSeenLast, also when it cannot see anything when it ends.
func TestRunReturnsWhatItHasSeenLast(t *testing.T) {
	d := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	d.Notify = func(s plan.Status) {
		if len(s.Partitions) == 3 {
			must(t, d.server.Close())
		}
	}
	d.OnWait = func(reason error) {
		if reason != nil {
			stop()
		}
	}
	status, err := d.Run(ctx, state.Spec{History: block.Range{End: 30}}, 10)
	if !errors.Is(err, context.Canceled) || len(status.Partitions) != 3 {
		t.Errorf("%d partitions, %v", len(status.Partitions), err)
	}
}
