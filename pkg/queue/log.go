package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// headerID carries the publisher's id of a message. It is not Nats-Msg-Id on
// purpose: the expected sequence already makes storing twice impossible, and
// the server's own de-duplication would acknowledge a message that it does not
// store.
const headerID = "Ampipe-Id"

// LiveLane is where the live chain's entries go.
const LiveLane = "live"

// Log is the log of one pipeline. Its methods may be called concurrently, in
// any number of processes.
type Log struct {
	conn     *Conn
	pipeline string
	maxBytes int64
	maxBlock int64
	looks    bool // makes no stream and changes none
	read     reader

	history atomic.Pointer[publishBound] // see [Log.BoundHistory]
}

// LogConfig is how a log is kept.
type LogConfig struct {
	// MaxBytes is the size at which the log is full. On an embedded server it is also
	// bounded by the room on the disk; [Log.MaxBytes] returns what holds. With 0 the log is
	// only looked at: it is neither made nor changed.
	MaxBytes int64

	// MaxBlock is how many bytes a block may take that needs several messages; default
	// [DefaultMaxBlock], and at most [Conn.BlockLimit].
	MaxBlock int64
}

// leastLog is the least size of a log that is of use.
const leastLog = 64 << 20

// Log opens the pipeline's log. The stream is created, or brought to this
// configuration, if need be and [Config.MustExist] is not set. With [LogConfig.MaxBytes] 0
// it is opened as it is, and there is [ErrNoStream] if nobody has made it.
func (c *Conn) Log(ctx context.Context, pipeline string, cfg LogConfig) (*Log, error) {
	if err := checkName("pipeline", pipeline); err != nil {
		return nil, err
	}
	l := &Log{conn: c, pipeline: pipeline, maxBytes: cfg.MaxBytes, looks: cfg.MaxBytes <= 0}
	l.maxBlock = min(cmp.Or(cfg.MaxBlock, DefaultMaxBlock), c.BlockLimit())
	stream, err := l.open(ctx)
	if noRoom(err) {
		return nil, fault.Permanent(fmt.Errorf("NATS has no room for a log of %s (log.max_bytes), beside %s for tasks and state: "+
			"lower log.max_bytes, "+
			"or raise max_file_store of the server or max_file of the account: %w", Size(l.maxBytes), Size(taskBytes+stateBytes), err))
	}
	if err != nil {
		return nil, c.classify(ctx, fmt.Errorf("open log %s: %w", l.stream(), err))
	}
	l.read = reader{c, stream}
	return l, nil
}

// open opens the stream, and notes what maxBytes is in truth.
func (l *Log) open(ctx context.Context) (jetstream.Stream, error) {
	if l.looks {
		stream, err := l.conn.existing(ctx, l.stream())
		if err == nil {
			l.maxBytes = stream.CachedInfo().Config.MaxBytes
		}
		return stream, err
	}
	if err := l.bound(ctx); err != nil {
		return nil, err
	}
	return l.conn.stream(ctx, l.config())
}

func (l *Log) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               l.stream(),
		Description:        "ampipe: entries of pipeline " + l.pipeline,
		Subjects:           []string{logSubject + l.pipeline + ".>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxBytes:           l.maxBytes,
		Replicas:           l.conn.cfg.Replicas,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	}
}

// bound lowers maxBytes to what the disk of an embedded server has left; see [boundedBy].
func (l *Log) bound(ctx context.Context) error {
	c := l.conn
	if c.server == nil {
		return nil
	}
	reserved := map[string]int64{}
	streams := c.js.ListStreams(ctx)
	for info := range streams.Info() {
		reserved[info.Config.Name] = max(0, info.Config.MaxBytes)
	}
	err := streams.Err()
	if err != nil {
		return c.classify(ctx, fmt.Errorf("ask for the room of log %s: %w", l.stream(), err))
	}
	l.maxBytes, err = boundedBy(c.server.cfg.Dir, c.server.cfg.MaxStore, reserved, l.pipeline, Needs{LogBytes: l.maxBytes})
	return err
}

func (l *Log) stream() string { return logStream + l.pipeline }

func (l *Log) subject(lane string) string { return logSubject + l.pipeline + "." + lane }

// MaxBytes returns the size at which the log is full.
func (l *Log) MaxBytes() int64 { return l.maxBytes }

// Tail is the last message of a lane.
type Tail struct {
	Found bool   // false: the lane is empty, or all its messages were trimmed
	Lane  string // that it is in
	Seq   uint64 // of the message: what the next Publish passes as after; 0 if not found
	After uint64 // sequence of the lane's message before it when it was published
	Entry entry.Header
	ID    string    // that it was published with
	Time  time.Time // when it was stored

	// Damaged is why the message is not an entry, and Entry therefore empty: it was
	// damaged, or somebody else published it; nil: it is one. See [entry.Newer], too.
	// Only the headers are checked.
	Damaged error
}

// Tail reads the last message of a lane.
func (l *Log) Tail(ctx context.Context, lane string) (Tail, error) {
	if err := checkPath("lane", lane); err != nil {
		return Tail{}, err
	}
	msg, err := l.read.get(ctx, getRequest{LastFor: l.subject(lane)})
	return l.tail(ctx, "read the end of lane "+lane, msg, err)
}

// Head reads the first message of a lane that the log still holds.
func (l *Log) Head(ctx context.Context, lane string) (Tail, error) { return l.Next(ctx, lane, 1) }

// Next reads the first message of a lane at or above a sequence.
func (l *Log) Next(ctx context.Context, lane string, seq uint64) (Tail, error) {
	if err := checkPath("lane", lane); err != nil {
		return Tail{}, err
	}
	msg, err := l.read.get(ctx, getRequest{Seq: max(seq, 1), NextFor: l.subject(lane)})
	return l.tail(ctx, fmt.Sprintf("read lane %s from message %d on", lane, seq), msg, err)
}

// At reads one message of the log by its sequence.
func (l *Log) At(ctx context.Context, seq uint64) (Tail, error) {
	if seq == 0 { // there is none, and a request for it would be refused
		return Tail{}, nil
	}
	msg, err := l.read.get(ctx, getRequest{Seq: seq})
	return l.tail(ctx, fmt.Sprintf("read message %d", seq), msg, err)
}

func (l *Log) tail(ctx context.Context, what string, msg *jetstream.RawStreamMsg, err error) (Tail, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Tail{}, nil
	}
	if err != nil {
		return Tail{}, l.fail(ctx, fmt.Errorf("%s: %w", what, err))
	}
	e, err := entry.Parse(msg.Header, msg.Data)
	return Tail{
		Found: true, Lane: strings.TrimPrefix(msg.Subject, l.subject("")), Seq: msg.Sequence, After: predecessor(msg.Header, msg.Sequence),
		Entry: e.Header, ID: msg.Header.Get(headerID), Time: msg.Time, Damaged: err,
	}, nil
}

// predecessor returns the sequence of the lane's message before the one at seq.
func predecessor(header nats.Header, seq uint64) uint64 {
	if expected := header.Get(jetstream.ExpectedLastSubjSeqHeader); expected != "" {
		return parseSeq(expected)
	}
	return seq - 1 // inside an atomic batch
}

// LogState is what a log holds.
type LogState struct {
	First, Last uint64    // sequences; First is Last+1 if there are no messages
	Oldest      time.Time // when the first message was published; zero if there is none
	Messages    uint64
	Bytes       uint64
	MaxBytes    int64

	Copies int      // how many servers are to hold the log
	Away   []string // of them, those that cannot be reached now, by name
}

// awayAfter is how long a server of a cluster may say nothing to the leader of a stream. It
// answers each heartbeat, which comes every second.
const awayAfter = 10 * time.Second

// State reads how full the log is.
func (l *Log) State(ctx context.Context) (LogState, error) {
	stream, err := l.conn.js.Stream(ctx, l.stream())
	if err != nil {
		return LogState{}, l.fail(ctx, fmt.Errorf("read the state of log %s: %w", l.stream(), err))
	}
	info := stream.CachedInfo()
	s := LogState{
		First: info.State.FirstSeq, Last: info.State.LastSeq, Oldest: info.State.FirstTime,
		Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
		Copies: info.Config.Replicas,
	}
	if info.Cluster != nil {
		for _, r := range info.Cluster.Replicas {
			// A new leader that has never heard of a server does not say for how long.
			silent := r.Active > awayAfter || (r.Active == 0 && !r.Current)
			if r.Offline || silent {
				s.Away = append(s.Away, r.Name)
			}
		}
	}
	slices.Sort(s.Away)
	return s, nil
}

// Trim removes the messages up to and including seq. The caller knows that no
// sink needs them (see [Log.Position]).
func (l *Log) Trim(ctx context.Context, seq uint64) error { return l.purge(ctx, seq) }

// TrimLanes is [Log.Trim] for some lanes only. It costs the server more.
func (l *Log) TrimLanes(ctx context.Context, lanes Lanes, seq uint64) error {
	return l.purge(ctx, seq, jetstream.WithPurgeSubject(lanes.filter(l.pipeline)))
}

func (l *Log) purge(ctx context.Context, seq uint64, of ...jetstream.StreamPurgeOpt) error {
	asked, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	stream, err := l.conn.js.Stream(asked, l.stream())
	if err == nil {
		// The sequence given is the first that stays.
		err = stream.Purge(asked, append(of, jetstream.WithPurgeSequence(seq+1))...)
	}
	if err != nil {
		return l.fail(ctx, fmt.Errorf("trim log %s: %w", l.stream(), err))
	}
	return nil
}

// Delete removes the log and the positions of all sinks in it.
func (l *Log) Delete(ctx context.Context) error {
	err := l.conn.js.DeleteStream(ctx, l.stream())
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return l.conn.classify(ctx, fmt.Errorf("delete log %s: %w", l.stream(), err))
	}
	return nil
}

// fail classes an error of the log. One that was deleted is made anew: destinations
// know what they hold, and what they lack is read again.
func (l *Log) fail(ctx context.Context, err error) error {
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return l.conn.classify(ctx, err)
	}
	if l.looks {
		return fault.Later(fmt.Errorf("%w: %w", err, &noStreamError{l.stream()}), 0)
	}
	if again := l.conn.remake(ctx, l.config()); again != nil {
		return l.conn.classify(ctx, fmt.Errorf("the log was deleted; make it anew: %w", again))
	}
	return fault.Later(errors.New("the log was deleted; it has been made anew"), 0)
}

func parseSeq(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
