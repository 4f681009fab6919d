package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Needs are what a pipeline reserves in NATS.
type Needs struct {
	LogBytes   int64 // log.max_bytes
	BlockBytes int64 // log.max_block_bytes
	Sinks      int

	DeadLetters     []string // sinks that put refused rows aside
	DeadLetterBytes int64    // log.dead_letter_bytes, of each of them
}

// beside returns what the streams of a pipeline reserve beside its log, by name.
func (n Needs) beside(pipeline string) map[string]int64 {
	all := map[string]int64{taskStream: taskBytes, stateStream: stateBytes}
	for _, sink := range n.DeadLetters {
		all[deadStream(pipeline, sink)] = n.DeadLetterBytes
	}
	return all
}

// besideWords says what [Needs.beside] is for.
func (n Needs) besideWords() string {
	if len(n.DeadLetters) > 0 {
		return "tasks, state and dead letters (log.dead_letter_bytes)"
	}
	return "tasks and state"
}

// CheckRoom returns a permanent error, with what there is and what is needed, unless
// NATS takes what the streams of a pipeline reserve beyond what they have: the limits of
// the account are read, and what the server has left is tried with a stream that is
// deleted at once, if the user may make it. It changes nothing else.
//
// tried is false if the server's room could not be tried. An embedded server is checked
// before it is started: see [CheckFolder].
func (c *Conn) CheckRoom(ctx context.Context, pipeline string, needs Needs) (tried bool, err error) {
	if err := checkName("pipeline", pipeline); err != nil {
		return false, err
	}
	if c.cfg.Replicas > 1 && c.server == nil && c.nc.ConnectedClusterName() == "" {
		return false, fault.Permanent(fmt.Errorf("nats.replicas is %d, and the NATS server is in no cluster: "+
			"set nats.replicas to 1, or name the servers of a cluster in nats.url", c.cfg.Replicas))
	}
	if limit := c.BlockLimit(); needs.BlockBytes > max(limit, DefaultMaxBlock) {
		return false, fault.Permanent(fmt.Errorf("log.max_block_bytes is %s, and NATS takes at most %s in one step, "+
			"%d messages of %s: lower log.max_block_bytes to %s, or raise max_payload of the NATS server",
			Size(needs.BlockBytes), Size(limit), maxBatch, Size(int64(c.EntryLimit())), plainSize(limit)))
	}
	if c.server != nil {
		return true, nil
	}
	r := room{conn: c, pipeline: pipeline, needs: needs}
	if err := r.inspect(ctx); err != nil {
		return false, c.classify(ctx, fmt.Errorf("look at the streams of pipeline %s: %w", pipeline, err))
	}
	if err := r.account(ctx); err != nil {
		return false, err
	}
	return r.server(ctx)
}

// room is what a pipeline needs beyond what it has.
type room struct {
	conn     *Conn
	pipeline string
	needs    Needs

	missing int   // streams
	log     int64 // bytes that the log lacks
	beside  int64 // bytes that tasks and state lack
}

// inspect reads what is there.
func (r *room) inspect(ctx context.Context) error {
	log := logStream + r.pipeline
	wanted := r.needs.beside(r.pipeline)
	wanted[log] = r.needs.LogBytes
	for name, bytes := range wanted {
		lacks := bytes
		stream, err := r.conn.js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			r.missing++
		case err != nil:
			return err
		default:
			lacks = max(0, bytes-max(0, stream.CachedInfo().Config.MaxBytes))
		}
		if name == log {
			r.log = lacks
		} else {
			r.beside += lacks
		}
	}
	return nil
}

// account compares the need with the limits of the account.
func (r *room) account(ctx context.Context) error {
	info, err := r.conn.js.AccountInfo(ctx)
	if err != nil {
		return r.conn.classify(ctx, fmt.Errorf("ask JetStream for its limits: %w", err))
	}
	tier, copies := info.Tier, int64(r.conn.cfg.Replicas)
	if len(info.Tiers) > 0 {
		known := false
		tier, known = info.Tiers[fmt.Sprintf("R%d", copies)]
		if !known {
			return fault.Permanent(fmt.Errorf("the NATS account has no limits for streams with %d replicas: "+
				"set nats.replicas to another number, or give the account limits for R%d", copies, copies))
		}
		copies = 1 // a tier counts what its streams reserve, however many replicas they have
	}
	limits, consumers := tier.Limits, planConsumers+sinkConsumers*r.needs.Sinks
	lacks := (r.log + r.beside) * copies
	left := limits.MaxStore - int64(tier.ReservedStore)
	switch {
	case limits.MaxStore >= 0 && lacks > left && lacks > 0:
		return r.tooSmall(left, copies, "the NATS account", "max_file of the account (its disk storage)")
	case limits.StoreMaxStreamBytes > 0 && r.needs.LogBytes > limits.StoreMaxStreamBytes && r.log > 0:
		return fault.Permanent(fmt.Errorf("a stream of the NATS account may reserve %s, "+
			"and log.max_bytes is %s: lower log.max_bytes to %s, or raise disk_max_stream_bytes of the account",
			Size(limits.StoreMaxStreamBytes), Size(r.needs.LogBytes), plainSize(limits.StoreMaxStreamBytes)))
	case limits.MaxStreams > 0 && tier.Streams+r.missing > limits.MaxStreams:
		return fault.Permanent(fmt.Errorf("the NATS account may have %d streams and has %d, "+
			"and the pipeline needs %d more: raise max_streams of the account, or delete a stream that is not needed",
			limits.MaxStreams, tier.Streams, r.missing))
	case limits.MaxConsumers > 0 && limits.MaxConsumers < consumers:
		return fault.Permanent(fmt.Errorf("a stream of the NATS account may have %d consumers, "+
			"and ampipe needs %d: raise max_consumers of the account",
			limits.MaxConsumers, consumers))
	case limits.MaxAckPending > 0 && limits.MaxAckPending < maxAckPending:
		return fault.Permanent(fmt.Errorf("a consumer of the NATS account may have %d messages without an answer, "+
			"and ampipe needs %d: raise max_ack_pending of the account",
			limits.MaxAckPending, maxAckPending))
	}
	return nil
}

// How many consumers a pipeline has at the state at once, which is more than at the log: the
// planner and an extractor watch it, and two may read lists of it. A sink watches the plan
// and whether it is paused.
const (
	planConsumers = 4
	sinkConsumers = 2
)

// server checks whether the server has room.
func (r *room) server(ctx context.Context) (tried bool, err error) {
	need := r.log + r.beside
	if r.conn.cfg.Replicas < len(r.conn.nc.Servers()) {
		need = max(r.log, r.beside) // in a cluster each stream may find other servers
	}
	if need == 0 {
		r.conn.sweep(ctx, probeAge)
		return true, nil
	}
	left, err := r.conn.left(ctx, need)
	switch {
	case errors.Is(err, errProbe):
		return false, nil
	case err != nil:
		return false, r.conn.classify(ctx, fmt.Errorf("try what NATS has room for: %w", err))
	case left >= need:
		return true, nil
	}
	return true, r.tooSmall(left, 1, "the NATS server", "max_file_store of the server")
}

// tooSmall returns an error with what is left, what is needed, for what, and what to do.
func (r *room) tooSmall(left, copies int64, who, key string) error {
	left = max(left, 0)
	var parts []string
	switch {
	case r.log == r.needs.LogBytes:
		parts = append(parts, fmt.Sprintf("%s for the log (log.max_bytes)", Size(r.log)))
	case r.log > 0:
		parts = append(parts, fmt.Sprintf("%s by which the log (log.max_bytes: %s) is to grow", Size(r.log), Size(r.needs.LogBytes)))
	}
	if r.beside > 0 {
		parts = append(parts, Size(r.beside)+" for "+r.needs.besideWords())
	}
	times := ""
	if copies > 1 {
		times = fmt.Sprintf(", in %d replicas", copies)
	}
	lower := ""
	if fits := r.needs.LogBytes - r.log + left/copies - r.beside; r.log > 0 && fits >= leastLog {
		lower = fmt.Sprintf("lower log.max_bytes to %s, or ", plainSize(min(fits, r.needs.LogBytes)))
	}
	need := (r.log + r.beside) * copies
	show := Size
	if Size(left) == Size(need) {
		show = plainSize
	}
	return fault.Permanent(fmt.Errorf("%s has room for %s and pipeline %s needs %s (%s%s): %sraise %s by %s",
		who, show(left), r.pipeline, show(need), strings.Join(parts, ", and "), times,
		lower, key, plainSize(roundUp(need-left))))
}

func roundUp(n int64) int64 { return (n + 1<<20 - 1) >> 20 << 20 }

// Size returns a number of bytes for people: 320 MiB, 20.3 GiB.
func Size(n int64) string {
	for _, u := range units {
		if n >= u.bytes {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.bytes)), ".0") + " " + u.name
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// plainSize returns a number of bytes, rounded down to MiB, as a configuration has it:
// 1728MiB.
func plainSize(n int64) string { return fmt.Sprintf("%dMiB", n>>20) }

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
