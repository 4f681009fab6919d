package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// DeadLetters are the rows that the destination of one sink has refused. Its methods may
// be called concurrently, in any number of processes.
type DeadLetters struct {
	conn           *Conn
	pipeline, sink string
	maxBytes       int64
	read           reader
}

// ErrDeadLettersFull says that a sink can put no more rows aside. It waits.
var ErrDeadLettersFull = errors.New("the stream of dead letters is full")

// removedFor is how long the message stays that removes a letter, the shortest time that
// NATS knows: it counts as a letter. Nothing needs it once it has taken the letter's place.
const removedFor = time.Second

// deadStream returns the name of a sink's stream. No pipeline and no sink has a "+" in
// its name, so that no two streams have the same.
func deadStream(pipeline, sink string) string { return deadStreams + pipeline + "+" + sink }

// DeadLetters opens the dead letters of a sink, which take maxBytes at most. The stream is
// created, or brought to this configuration, if need be and [Config.MustExist] is not set.
// With maxBytes 0 they are only looked at, and there is [ErrNoStream] if nobody has made it.
func (c *Conn) DeadLetters(ctx context.Context, pipeline, sink string, maxBytes int64) (*DeadLetters, error) {
	err := errors.Join(checkName("pipeline", pipeline), checkName("sink", sink))
	if err != nil {
		return nil, err
	}
	d := &DeadLetters{conn: c, pipeline: pipeline, sink: sink, maxBytes: maxBytes}
	stream, err := d.open(ctx)
	if noRoom(err) {
		return nil, fmt.Errorf("%w: %w", noRoomForLetters(sink, maxBytes), err)
	}
	if err != nil {
		return nil, c.classify(ctx, fmt.Errorf("open the dead letters of sink %q: %w", sink, err))
	}
	d.read = reader{c, stream}
	return d, nil
}

func (d *DeadLetters) open(ctx context.Context) (jetstream.Stream, error) {
	if d.maxBytes > 0 {
		return d.conn.stream(ctx, d.config())
	}
	return d.conn.existing(ctx, d.config().Name)
}

func noRoomForLetters(sink string, bytes int64) error {
	return fault.Permanent(fmt.Errorf("NATS has no room for %s of dead letters of sink %q (log.dead_letter_bytes): "+
		"lower log.dead_letter_bytes, or make room on its disk, in max_file_store or in the account's max_file", Size(bytes), sink))
}

func (d *DeadLetters) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              deadStream(d.pipeline, d.sink),
		Description:       "ampipe: dead letters of sink " + d.sink + " of pipeline " + d.pipeline,
		Subjects:          []string{d.subject() + ">"},
		Retention:         jetstream.LimitsPolicy,
		MaxMsgsPerSubject: 1, // the last: a letter that comes again is the same one
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxBytes:          d.maxBytes,
		Replicas:          d.conn.cfg.Replicas,
		AllowDirect:       true,
		AllowMsgTTL:       true,
	}
}

// subject returns what the subjects of all letters begin with.
func (d *DeadLetters) subject() string { return deadSubject + d.pipeline + "." + d.sink + "." }

// place takes the subject of a letter apart.
func (d *DeadLetters) place(subject string) (at block.Number, id string, ok bool) {
	number, id, found := strings.Cut(strings.TrimPrefix(subject, d.subject()), ".")
	n, err := strconv.ParseUint(number, 10, 63)
	return block.Number(n), id, found && err == nil
}

// Put stores letters, each in place of one with the same block and id. While there is no
// room for one the error is [ErrDeadLettersFull], which is fault.Later; the call may be
// repeated as it is after any error that is not permanent.
func (d *DeadLetters) Put(ctx context.Context, letters []deadletter.Letter) error {
	for _, l := range letters {
		encoder, err := deadletter.NewEncoder(l.Source.Schema(), d.conn.EntryLimit())
		if err != nil {
			return fault.Permanent(err)
		}
		m, err := encoder.Encode(l)
		if tooLarge, is := errors.AsType[*entry.TooLargeError](err); is {
			return fault.Permanent(fmt.Errorf("block %d, row %d of its entry takes %s as a dead letter, and a message may have %s: "+
				"raise max_payload of the NATS server, or leave large columns out of the query",
				l.Block, l.Row, Size(int64(tooLarge.Size)), Size(int64(tooLarge.Limit))))
		}
		if err != nil {
			return fault.Permanent(err)
		}
		subject := fmt.Sprintf("%s%d.%s", d.subject(), l.Block, l.ID)
		err = d.publish(ctx, &nats.Msg{Subject: subject, Header: m.Header, Data: m.Payload})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *DeadLetters) publish(ctx context.Context, msg *nats.Msg) error {
	err := d.conn.disconnected()
	if err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, publishWait(msg.Size()))
	defer cancel()
	_, err = d.conn.js.PublishMsg(asked, msg)
	switch {
	case err == nil, wrongSequence(err):
		return err
	case code(err) == codeStoreFailed && strings.Contains(err.Error(), "maximum"):
		return fault.Later(fmt.Errorf("%w: sink %q has %s of them (log.dead_letter_bytes); "+
			"raise log.dead_letter_bytes and start the planner again, or set on_bad_row: stop",
			ErrDeadLettersFull, d.sink, Size(d.maxBytes)), 0)
	default:
		return d.fail(ctx, d.conn.stores(ctx, d.config().Name, fmt.Errorf("store a dead letter: %w", err)))
	}
}

// TakeBack removes the letters of the blocks at or above from that are void after a change
// of the live lane of that epoch and sequence ([deadletter.Origin.VoidAfter]). It may be
// repeated, at any time.
func (d *DeadLetters) TakeBack(ctx context.Context, from block.Number, epoch, seq uint64) error {
	return d.removeOf(ctx, func(at block.Number) bool { return at >= from },
		func(_ uint64, o deadletter.Origin) bool { return o.VoidAfter(epoch, seq) })
}

// removeOf removes those letters of some blocks that are meant.
func (d *DeadLetters) removeOf(
	ctx context.Context, blocks func(block.Number) bool, isMeant func(seq uint64, o deadletter.Origin) bool,
) error {
	subjects, err := d.subjects(ctx)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		at, _, ok := d.place(subject)
		if !ok || !blocks(at) {
			continue
		}
		if err := d.remove(ctx, subject, isMeant); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a letter if it is one of those that are meant, which is asked again if
// another process has published it meanwhile.
func (d *DeadLetters) remove(ctx context.Context, subject string, isMeant func(seq uint64, o deadletter.Origin) bool) error {
	for {
		msg, err := d.read.get(ctx, getRequest{LastFor: subject})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && len(msg.Data) == 0:
			return nil
		case err != nil:
			return d.fail(ctx, fmt.Errorf("read a dead letter: %w", err))
		}
		origin, _, err := deadletter.Parse(msg.Header, msg.Data)
		if err == nil && !isMeant(msg.Sequence, origin) {
			return nil
		}
		gone := nats.NewMsg(subject)
		gone.Header.Set(jetstream.MsgTTLHeader, removedFor.String())
		gone.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(msg.Sequence, 10))
		err = d.publish(ctx, gone)
		if !wrongSequence(err) {
			return err
		}
	}
}

// subjects returns the subjects of all letters, also of those that were removed a moment
// ago, in the order of their blocks.
func (d *DeadLetters) subjects(ctx context.Context) ([]string, error) {
	stream, err := d.conn.js.Stream(ctx, d.config().Name)
	if err == nil && stream.CachedInfo().State.Msgs == 0 {
		return nil, nil
	}
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = stream.Info(ctx, jetstream.WithSubjectFilter(d.subject()+">"))
	}
	if err != nil {
		return nil, d.fail(ctx, fmt.Errorf("list the dead letters of sink %q: %w", d.sink, err))
	}
	subjects := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		subjects = append(subjects, subject)
	}
	slices.SortFunc(subjects, func(a, b string) int {
		first, _, _ := d.place(a)
		second, _, _ := d.place(b)
		return cmp.Or(cmp.Compare(first, second), strings.Compare(a, b))
	})
	return subjects, nil
}

// StoredLetter is a letter and when it was stored.
type StoredLetter struct {
	deadletter.Letter
	Time time.Time // by the clock of NATS
}

// Each calls fn with each letter of the blocks of r, in the order of the blocks, until it
// returns an error, which Each returns. fn borrows the letter. A message that is no letter
// is an error.
func (d *DeadLetters) Each(ctx context.Context, r block.Range, fn func(StoredLetter) error) error {
	subjects, err := d.subjects(ctx)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		at, id, ok := d.place(subject)
		if ok && !r.Has(at) {
			continue
		}
		msg, err := d.read.get(ctx, getRequest{LastFor: subject})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && len(msg.Data) == 0:
			continue
		case err != nil:
			return d.fail(ctx, fmt.Errorf("read a dead letter: %w", err))
		}
		l, err := deadletter.Decode(msg.Header, msg.Data)
		if err == nil && (!ok || l.Block != at) {
			l.Release()
			err = errors.New("its subject and its content differ")
		}
		if err != nil {
			return fault.Permanent(fmt.Errorf("dead letter %s: %w", subject, err))
		}
		l.ID = id
		err = fn(StoredLetter{l, msg.Time})
		l.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Count returns how many letters there were when they were opened, those included that were
// removed a moment before.
func (d *DeadLetters) Count() uint64 { return d.read.stream.CachedInfo().State.Msgs }

// Drop removes the letters of the blocks of r, and what else stands in their place, and
// returns how many there were. It needs the rights of the planner.
func (d *DeadLetters) Drop(ctx context.Context, r block.Range) (dropped int, err error) {
	subjects, err := d.subjects(ctx)
	if err != nil {
		return 0, err
	}
	stream, err := d.conn.js.Stream(ctx, d.config().Name)
	if err != nil {
		return 0, d.fail(ctx, fmt.Errorf("drop dead letters: %w", err))
	}
	for _, subject := range subjects {
		at, _, ok := d.place(subject)
		if ok && !r.Has(at) {
			continue
		}
		msg, err := d.read.get(ctx, getRequest{LastFor: subject})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			// A letter that is published meanwhile stays.
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(msg.Sequence+1))
		}
		if err != nil {
			return dropped, d.fail(ctx, fmt.Errorf("drop dead letters: %w", err))
		}
		if len(msg.Data) > 0 {
			dropped++
		}
	}
	return dropped, nil
}

// fail classes an error. A stream that was deleted is made anew, empty: the rows that it
// held are lacking in the destination, and verify finds them.
func (d *DeadLetters) fail(ctx context.Context, err error) error {
	if !errors.Is(err, jetstream.ErrStreamNotFound) || d.maxBytes == 0 {
		return d.conn.classify(ctx, err)
	}
	again := d.conn.remake(ctx, d.config())
	if again != nil {
		return d.conn.classify(ctx, fmt.Errorf("the dead letters of sink %q were deleted; make their stream anew: %w", d.sink, again))
	}
	return fault.Later(fmt.Errorf("the dead letters of sink %q were deleted; their stream has been made anew", d.sink), 0)
}
