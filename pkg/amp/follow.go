package amp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// FollowOptions say where a stream continues and how patient it is. The zero value
// follows from the server's earliest block.
type FollowOptions struct {
	// Network that must be followed. Defaults to that of Resume, else to whatever
	// the server sends first.
	Network string
	// Resume is where the stream continues: after the last of these cursors, up to
	// which the caller must have everything, and nothing beyond. The others, ascending,
	// are earlier ones of its chain: should the chain change while it is not followed,
	// they show how far back. A cursor of [Client.Probe] does as well as one of a
	// Watermark, and one far back saves a pipeline from [ErrDeepReorg]. Only the
	// last Remember are used. Defaults to the server's earliest block.
	Resume []block.Cursor
	// Beginning is the first block of what the caller holds, from the stream or from
	// elsewhere. A reorg that reaches to it or below is then an Undo of everything
	// instead of an [ErrDeepReorg], and the stream begins at Beginning again. Without
	// Resume the stream begins there, if the server has it, else at the server's
	// earliest block. Defaults to unknown.
	Beginning *block.Number
	// Remember is the number of complete ranges to remember, each of 1 to some 1000
	// blocks, to compare with when the chain changes. Defaults to 512.
	Remember int
	// Backoff is how the server is asked again, and for how long if that brings no
	// Watermark and has no better reason than an error; see [fault.Retrier].
	Backoff fault.Backoff
	// Silence is after how long an open stream that sends nothing is reported to OnWait,
	// and how often. Silence is no error: a chain may stand still for hours. After
	// another reason it is reported once within seconds: that reason is over. Defaults
	// to 1 minute.
	Silence time.Duration
	// Head is a query for [Client.Head], of the same tables. With it, and with OnWait,
	// a stream that is silent for minutes while the head is beyond it is reported as
	// [ErrStalled] and asked for again, and one that was just opened while the head is
	// below where it resumes as [ErrBehind]. Defaults to none.
	Head string
	// Split says how a range that is long is read faster than by the stream. May be nil.
	Split *Split
	// Explain receives an [ErrRow], with the block after which the stream is asked for
	// again, and returns the error to report in its place, such as the same error with the
	// block that causes it. It is called between two connections and may take its time;
	// ctx ends with the stream. May be nil.
	Explain func(ctx context.Context, after *block.Cursor, err error) error
	// OnWait is called with what the stream waits for. Its calls do not overlap, but may
	// come from another goroutine than the events; it must not block. May be nil.
	OnWait func(Wait)
}

// Wait is what a stream waits for.
type Wait struct {
	// Reason is the error after which the server is asked again, or [ErrSilence], or
	// what was found out about the silence.
	Reason error
	// Pause is how long until the server is asked again; 0: at once, or, in silence,
	// never.
	Pause time.Duration
	// Silent is how long the stream has been open and silent; 0: it is not open.
	Silent time.Duration
	// After is the last complete block; nil: there is none.
	After *block.Cursor
}

// ErrSilence says that the server is connected and sends nothing: no new block is
// complete in every table that the query reads.
var ErrSilence = errors.New("the server has nothing new")

const (
	defaultRemember = 512
	defaultSilence  = time.Minute
)

// Follow runs a query as a stream and yields its events, for as long as the chain
// grows: see [Event] for what they promise. Whatever happens to the connection, it
// asks again from the last complete block and yields what has to be rolled back. Each
// loop over the result starts anew from the options; leaving the loop ends the
// stream.
//
// An error is yielded last. It is permanent, or ctx has ended, whose cause it then
// wraps. Rows of an unfinished range may be left behind: who follows again must roll
// back what lies above the cursor it resumes from. Those to branch on:
// [ErrNotStreamable], [ErrDeepReorg], [ErrCursorIgnored], [ViolationError],
// [ErrSchemaChanged].
func (c *Client) Follow(ctx context.Context, sql string, o FollowOptions) iter.Seq2[Event, error] {
	if o.Remember <= 0 {
		o.Remember = defaultRemember
	}
	if o.Silence <= 0 {
		o.Silence = defaultSilence
	}
	return func(yield func(Event, error) bool) {
		tracker, err := newChainTracker(o.Network, o.Resume, o.Beginning, o.Remember)
		if err != nil {
			yield(nil, err)
			return
		}
		f := &following{client: c, sql: sql, options: o, tracker: tracker, yield: yield, retrier: fault.Retrier{Backoff: o.Backoff}}
		f.watchdog = startWatchdog(ctx, o.Silence, o.OnWait, f.head())
		err = f.runWatched(ctx)
		if err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// following is one loop over a stream.
type following struct {
	client   *Client
	sql      string
	options  FollowOptions
	tracker  *chainTracker
	watchdog *watchdog
	yield    func(Event, error) bool
	schema   *arrow.Schema // of the first connection
	retrier  fault.Retrier
	forking  time.Time // since when the fork is searched for; zero: it is not

	unsplit    block.Number // ranges that end here or below are not split
	splitTries int          // that have failed since a range was completed
}

// runWatched runs the loop beside its watchdog, which ends also when the consumer
// panics.
func (f *following) runWatched(ctx context.Context) error {
	defer f.watchdog.close()
	return f.run(ctx)
}

// errLeft says that the consumer has left the loop.
var errLeft = errors.New("the loop was left")

// run connects again and again.
func (f *following) run(ctx context.Context) error {
	for {
		began := time.Now()
		err := f.connection(ctx)
		if errors.Is(err, errSplit) {
			err = f.split(ctx)
			if err == nil {
				continue
			}
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errLeft) {
			return fault.Later(fmt.Errorf("%s: %w", opGet, cause), 0)
		}
		if errors.Is(err, errLeft) || fault.Of(err) == fault.ClassPermanent {
			return err
		}
		// A proxy that cuts silent streams every few minutes must use up no attempts.
		if f.tracker.open == nil && time.Since(began) > f.options.Backoff.Delay(maxDoublings) {
			f.retrier.Progress()
		}
		if undo := f.tracker.lost(); undo != nil && !f.yield(*undo, nil) {
			return errLeft
		}
		if errors.Is(err, ErrRow) && f.options.Explain != nil {
			err = f.options.Explain(ctx, f.tracker.base(), err)
		}
		pause, err := f.pause(err)
		if err != nil {
			return err
		}
		if err := fault.Sleep(ctx, pause); err != nil {
			return fault.Later(fmt.Errorf("%s: %w", opGet, err), 0)
		}
	}
}

// maxDoublings is an attempt whose delay is the longest there is.
const maxDoublings = 64

// pause decides how long to wait after an error, or gives up.
func (f *following) pause(err error) (time.Duration, error) {
	if errors.Is(err, ErrFork) { // each answer leads further back, so that ends
		f.searches(err)
		return 0, nil
	}
	pause, end := f.retrier.Pause(err)
	if end != nil {
		return 0, fmt.Errorf("follow: %w", end)
	}
	if fault.Of(err) == fault.ClassLater { // a connection that was cut may be back at once
		pause = min(pause, f.options.Backoff.Delay(f.retrier.Waited()))
	}
	f.watchdog.report(Wait{Reason: err, Pause: pause, After: f.tracker.base()})
	return pause, nil
}

// longSearch is how long the fork is searched for before that is reported: a few answers find
// it, as a rule.
const longSearch = 10 * time.Second

// searches notes that the fork is searched for further back.
func (f *following) searches(step error) {
	if f.forking.IsZero() {
		f.forking = time.Now()
	}
	if since := time.Since(f.forking); since >= longSearch {
		f.watchdog.report(Wait{Reason: fmt.Errorf("for %v so far: %w", since.Round(time.Second), step), After: f.tracker.base()})
	}
}

// connection asks once and yields what comes, until the stream ends or fails. It
// never returns nil.
func (f *following) connection(ctx context.Context) error {
	headers, err := streamHeaders(f.tracker.resume())
	if err != nil {
		return err
	}
	p, err := f.plan(ctx, headers)
	if err != nil {
		return err
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	f.watchdog.connect(cut)
	f.watchdog.listen(f.tracker.base())
	defer f.watchdog.stopListening(false)
	a, err := f.client.get(ctx, p, patience{})
	if err != nil {
		return err
	}
	defer a.close()
	if err := f.sameSchema(a.reader.Schema()); err != nil {
		return err
	}
	for {
		a.wait.limit = patience{}
		if f.tracker.open != nil { // the server has begun a range, and sends something every 30 s (AP 1.7)
			a.wait.limit = f.client.cfg.forNextRows()
		}
		f.watchdog.listen(f.tracker.base())
		m, err := a.next()
		f.watchdog.stopListening(err == nil)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", opGet, ErrStreamEnded)
		}
		if err != nil {
			return err
		}
		err = f.message(m)
		if doubt, ok := errors.AsType[*doubtError](err); ok {
			return f.heeds(ctx, doubt)
		}
		if err != nil {
			return err
		}
	}
}

// head returns a function that asks for the head, or nil if it cannot be asked for.
func (f *following) head() func(context.Context) ([]Range, error) {
	if f.options.Head == "" {
		return nil
	}
	return func(ctx context.Context) ([]Range, error) { return f.client.Head(ctx, f.options.Head) }
}

// plan plans the query and reports when that takes long.
func (f *following) plan(ctx context.Context, headers []string) (planned, error) {
	defer fault.Watch(fault.Long, func(since time.Duration) {
		reason := fmt.Errorf("waiting %v for the server to accept the query", since.Round(time.Second))
		f.watchdog.report(Wait{Reason: reason, After: f.tracker.base()})
	})()
	return f.client.plan(ctx, f.sql, headers...)
}

// heeds checks whether the server honors cursors: asked for the second block of what
// it sent it must not begin with the first. It never returns nil.
func (f *following) heeds(ctx context.Context, doubt *doubtError) error {
	_, err := f.client.Probe(ctx, f.sql, doubt.sent.Network, doubt.sent.Numbers.Start+1)
	switch {
	case errors.Is(err, ErrCursorIgnored):
		return f.tracker.ignored(doubt.asked, doubt.sent)
	case err != nil:
		return fmt.Errorf("%w: %w", doubt, err)
	}
	f.tracker.heeded = true
	return fmt.Errorf("%s: %w: everything has left the chain: %s", opGet, ErrFork, doubt.sent.inclusive())
}

// sameSchema checks that a new connection has the columns of the first.
func (f *following) sameSchema(schema *arrow.Schema) error {
	if f.schema == nil {
		f.schema = schema
		return nil
	}
	if err := sameSchema(f.schema, schema); err != nil {
		return fault.Permanent(fmt.Errorf("%s: since the stream was first asked for, %w: %w", opGet, ErrSchemaChanged, err))
	}
	return nil
}

// message yields the events of one message.
func (f *following) message(m Message) error {
	rows, before := m.Record.NumRows() > 0, f.tracker.open
	v, err := f.tracker.take(m.Metadata, rows)
	if err != nil {
		return err
	}
	if v.undo != nil && !f.yield(*v.undo, nil) {
		return errLeft
	}
	if v.restart != nil {
		return fmt.Errorf("%s: %w", opGet, v.restart)
	}
	begins := f.tracker.open != before && (before == nil || v.undo != nil)
	if begins && f.splits(m) {
		return errSplit
	}
	if rows && !f.yield(Rows{Record: m.Record, Range: m.Ranges[0]}, nil) {
		return errLeft
	}
	if !m.Complete {
		return nil
	}
	return f.complete()
}

// complete completes the open range, if there is one.
func (f *following) complete() error {
	w := f.tracker.close()
	if w == nil {
		return nil
	}
	f.retrier.Progress()
	f.forking, f.splitTries = time.Time{}, 0
	if !f.yield(*w, nil) {
		return errLeft
	}
	return nil
}

// streamHeaders asks for a stream, and to resume it after a cursor (AP 1.4, 3.4).
func streamHeaders(after *block.Cursor) ([]string, error) {
	headers := []string{"amp-stream", "true"}
	if after == nil {
		return headers, nil
	}
	type place struct {
		Number block.Number `json:"number"`
		Hash   block.Hash   `json:"hash"`
	}
	cursor, err := json.Marshal(map[string]place{after.Network: {after.Number, after.Hash}})
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("write cursor %v: %w", after, err))
	}
	return append(headers, "amp-resume", string(cursor)), nil
}
