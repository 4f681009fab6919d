package amp

import (
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// chainTracker holds what a consumer of a stream has of the chain, and decides what
// follows from each message: the rules of AP 3.6, without a network.
//
// A checkpoint is a block up to which everything is complete. Checkpoints ascend; the
// consumer is at the last of them, and has the unfinished rows of open beyond it.
type chainTracker struct {
	network        string         // "" until it is known
	checkpoints    []block.Cursor // ascending
	maxCheckpoints int            // to remember
	// beginning is the first block of what the consumer holds, or may hold; nil while
	// it is not known. A chain that changes at or below it voids everything, and what lies
	// below does not matter.
	beginning *block.Number
	fixed     bool // the beginning is the caller's, also while nothing is held
	// below says that the server has blocks below the beginning, so that a stream from
	// there has to be asked for by number.
	below bool
	// heeded says that the server was seen to honor cursors since it last seemed not to.
	heeded bool

	asked int   // the connection resumes from checkpoints[asked-1]; 0: from the beginning
	fresh bool  // nothing has come on this connection
	last  Range // what came last on it
	open  *Range
	rows  bool // rows of open have been given out
}

// newChainTracker starts from cursors that a consumer remembers. Those below the block
// before the beginning say nothing of what it holds, but for the last, from which it
// resumes. Errors are permanent.
func newChainTracker(network string, points []block.Cursor, beginning *block.Number, most int) (*chainTracker, error) {
	for i, p := range points {
		var complaint error
		switch {
		case p.Network == "":
			complaint = errors.New("it names no network")
		case network != "" && p.Network != network:
			complaint = fmt.Errorf("the network followed is %s", network)
		case p.Number > block.Max:
			complaint = errors.New("its number is too high")
		case p.Hash.IsZero():
			complaint = errors.New("its hash is zero")
		case i > 0 && p.Number <= points[i-1].Number:
			complaint = fmt.Errorf("cursors must ascend, and %v comes before it", points[i-1])
		}
		if complaint != nil {
			return nil, fault.Permanent(fmt.Errorf("resume from %v: %w", p, complaint))
		}
		network = p.Network
	}
	t := &chainTracker{network: network, maxCheckpoints: most}
	if surplus := len(points) - most; surplus > 0 {
		points = points[surplus:]
	}
	if beginning != nil {
		first := *beginning
		if len(points) > 0 {
			first = min(first, points[len(points)-1].Number+1)
			t.below = points[0].Number < first
			for points[0].Number+1 < first {
				points = points[1:]
			}
		}
		t.beginning, t.fixed = &first, true
	}
	t.checkpoints = append(t.checkpoints, points...)
	t.asked = len(t.checkpoints)
	return t, nil
}

// decision is what follows from a message.
type decision struct {
	undo *Undo // to be yielded first
	// restart is not nil when the stream is to be dropped and requested again from where
	// chainTracker.resume then returns.
	restart error
}

// resume prepares for a new connection and returns its cursor, nil for none. One
// with a hash that no block has makes the stream begin at its very number (AP 3.4).
func (t *chainTracker) resume() *block.Cursor {
	t.fresh = true
	switch {
	case t.asked > 0:
		c := t.checkpoints[t.asked-1]
		return &c
	case t.below:
		return &block.Cursor{Network: t.network, Number: *t.beginning}
	}
	return nil
}

// lost drops what was not finished when the connection ended.
func (t *chainTracker) lost() *Undo {
	t.asked = min(t.asked, len(t.checkpoints))
	return t.abandon()
}

func (t *chainTracker) abandon() *Undo {
	open, rows := t.open, t.rows
	t.open, t.rows = nil, false
	switch {
	case open == nil:
		return nil
	case len(t.checkpoints) == 0 && !t.fixed:
		t.beginning, t.below = nil, false // nothing is held: the stream may begin anywhere
	}
	if !rows {
		return nil
	}
	return &Undo{From: open.Numbers.Start, Base: t.base()}
}

// base returns the last checkpoint.
func (t *chainTracker) base() *block.Cursor {
	if len(t.checkpoints) == 0 {
		return nil
	}
	c := t.checkpoints[len(t.checkpoints)-1]
	return &c
}

// take applies the metadata of a message with or without rows. An error is
// permanent, but for [ErrNoData], and changes nothing.
func (t *chainTracker) take(m Metadata, rows bool) (decision, error) {
	if len(m.Ranges) == 0 && t.fresh && !rows {
		return decision{}, fault.Later(fmt.Errorf("%s: %w", opGet, ErrNoData), 0)
	}
	if len(m.Ranges) == 0 && rows {
		return decision{}, t.refuse(ErrRowsOfNothing, "no ranges")
	}
	if len(m.Ranges) != 1 {
		return decision{}, t.refuse(ErrNetworks, fmt.Sprintf("%d ranges", len(m.Ranges)))
	}
	in := m.Ranges[0]
	if !t.fresh && in.same(t.last) { // rule 3
		if rows && t.open == nil {
			return decision{}, t.refuse(ErrAfterClosing, in.inclusive())
		}
		t.rows = t.rows || rows
		return decision{}, nil
	}
	if rule := t.wellFormed(in); rule != nil {
		return decision{}, t.refuse(rule, in.inclusive())
	}
	v, err := t.move(in)
	if err == nil && v.restart == nil {
		t.network, t.fresh, t.last, t.rows = in.Network, false, in, t.rows || rows
	}
	return v, err
}

// wellFormed checks a range by itself (rules 1 and 2).
func (t *chainTracker) wellFormed(in Range) error {
	switch {
	case t.network != "" && in.Network != t.network:
		return ErrOtherNetwork
	case in.Numbers.Empty():
		return ErrNoBlocks
	case in.Numbers.Start == 0 && !in.Prev.IsZero():
		return ErrGenesisPrev
	case in.Numbers.Start > 0 && in.Prev.IsZero(): // also if it is absent
		return ErrNoPrev
	}
	return nil
}

// edge returns how far the connection has got: up to where it was asked to resume, or
// the end of its last range. It has no edge before its first range without a cursor.
func (t *chainTracker) edge() (end block.Cursor, exists bool) {
	switch {
	case !t.fresh:
		return t.last.Cursor(), true
	case t.asked > 0:
		return t.checkpoints[t.asked-1], true
	}
	return block.Cursor{}, false
}

// move applies a range that differs from the one before it (rules 4 to 9).
func (t *chainTracker) move(in Range) (decision, error) {
	edge, exists := t.edge()
	start := in.Numbers.Start
	switch {
	case !exists:
		return t.begin(in)
	case start > edge.Number+1:
		return decision{}, t.refuse(ErrGap, in.inclusive())
	case start == edge.Number+1 && in.Prev != edge.Hash:
		return decision{}, t.refuse(ErrHashMismatch, in.inclusive())
	case start == edge.Number+1:
		return t.forward(in), nil
	case in.Prev == edge.Hash:
		return decision{}, t.refuse(ErrInvalidReorg, in.inclusive())
	}
	return t.back(in, edge)
}

// begin takes the first range of a stream that was asked for from the beginning.
func (t *chainTracker) begin(in Range) (decision, error) {
	start := in.Numbers.Start
	held := len(t.checkpoints) > 0 // but no checkpoint was left to resume from
	switch {
	case t.below && start != *t.beginning:
		return decision{}, t.ignored(block.Cursor{Network: in.Network, Number: *t.beginning}, in)
	case t.beginning != nil && start < *t.beginning:
		t.below = true
		return t.restart(0, ErrFork, in), nil
	case held && start == *t.beginning:
		return t.all(in), nil
	case held:
		return decision{}, fault.Permanent(fmt.Errorf("%w: block %d is the first that was loaded, and the stream would now begin with %s",
			ErrDeepReorg, *t.beginning, in.inclusive()))
	}
	t.beginning, t.open = &start, &in
	return decision{}, nil
}

// all rolls back everything that is held, for a range that begins with the same block.
func (t *chainTracker) all(in Range) decision {
	v := t.fork(in, 0)
	if t.below {
		return v
	}
	t.checkpoints = nil // the server has no block before it to resume from
	if v.undo != nil {
		v.undo.Base = nil
	}
	return v
}

// forward takes a range that continues the chain.
func (t *chainTracker) forward(in Range) decision {
	if t.open != nil {
		// Only the closing message of this range will vouch for the one before it, so
		// they are one from here on (rule 9).
		whole := in
		whole.Numbers.Start, whole.Prev, whole.HasPrev = t.open.Numbers.Start, t.open.Prev, t.open.HasPrev
		t.open = &whole
		return decision{}
	}
	var v decision
	if t.fresh && t.asked < len(t.checkpoints) { // the fork has been found
		t.checkpoints = t.checkpoints[:t.asked]
		v.undo = &Undo{From: in.Numbers.Start, Base: t.base(), Reorg: true}
	}
	t.open = &in
	return v
}

// back takes a range that goes back (rules 6 to 9).
func (t *chainTracker) back(in Range, edge block.Cursor) (decision, error) {
	start := in.Numbers.Start
	held := t.checkpoints
	if t.fresh {
		held = held[:t.asked]
	}
	if t.open != nil {
		floor := t.open.Numbers.Start // of the unfinished blocks
		switch {
		case start > floor: // the blocks between would be lost (rule 9)
			return t.restart(len(held), ErrUnfinished, in), nil
		case start == floor && len(held) == 0:
			v := decision{undo: t.abandon()}
			if v.undo != nil {
				v.undo.Reorg = true
			}
			t.beginning, t.open = &start, &in
			return v, nil
		}
	}
	// below is how many checkpoints the range leaves as they are.
	below := len(held)
	for below > 0 && held[below-1].Number >= start {
		below--
	}
	switch {
	case below > 0 && held[below-1].Number+1 == start:
		if held[below-1].Hash != in.Prev {
			return t.restart(below, ErrFork, in), nil
		}
		return t.fork(in, below), nil
	case t.beginning != nil && start < *t.beginning:
		t.below = true
		return t.restart(0, ErrFork, in), nil
	case t.beginning != nil && start == *t.beginning && t.fresh && !t.heeded:
		return decision{}, &doubtError{edge, in}
	case t.beginning != nil && start == *t.beginning:
		return t.all(in), nil
	case start == edge.Number:
		// What a server answers that does not know the block any more, however deep
		// the fork is (AP 3.4); nothing here shows whether it is deeper.
		if below > 0 || t.beginning != nil {
			return t.restart(below, ErrFork, in), nil
		}
	case below > 0 || t.beginning != nil:
		return t.fork(in, below), nil
	}
	return decision{}, t.deep(in, edge)
}

// doubtError says that a server which was asked to resume went back to the beginning.
// Either everything has left the chain, or the server ignored the cursor and began at its
// earliest block; a probe of another block shows which.
type doubtError struct {
	asked block.Cursor
	sent  Range
}

func (e *doubtError) Error() string {
	return fmt.Sprintf("asked to resume after %v, the server sent %s, and it is not known yet whether it heeds cursors",
		e.asked, e.sent.inclusive())
}

// ignored returns the error for a server that began with in instead of honoring a cursor.
func (t *chainTracker) ignored(asked block.Cursor, in Range) error {
	return fault.Permanent(fmt.Errorf("%s: %w: asked to resume after %v, it sent %s; "+
		"is there a proxy that drops the header amp-resume?", opGet, ErrCursorIgnored, asked, in.inclusive()))
}

func (t *chainTracker) deep(in Range, edge block.Cursor) error {
	text := "nothing is remembered"
	if len(t.checkpoints) > 0 {
		text = "the oldest is " + t.checkpoints[0].String()
	}
	err := fmt.Errorf("%s: %w: after %v came %s, and %s; nothing was undone", opGet, ErrDeepReorg, edge, in.inclusive(), text)
	if t.fresh {
		err = fmt.Errorf("%w; should the server have ignored the cursor, look for a proxy that drops the header amp-resume", err)
	}
	return fault.Permanent(err)
}

// restart has the stream dropped and asked for again after the given number of
// checkpoints. What is complete stays until the answer shows what is void.
func (t *chainTracker) restart(after int, why error, in Range) decision {
	t.asked = after
	reason := fmt.Errorf("%w: %s, after %s", why, in.inclusive(), t.position())
	return decision{undo: t.abandon(), restart: reason}
}

// fork rolls back everything from the start of in, which is where the chain forks,
// and continues with it. A checkpoint that the range cuts off is replaced by the block
// before the range (rule 8).
func (t *chainTracker) fork(in Range, below int) decision {
	start := in.Numbers.Start
	nothing := below == len(t.checkpoints) && !t.rows // has been given out above the fork
	t.checkpoints = t.checkpoints[:below]
	if start > 0 && (below == 0 || t.checkpoints[below-1].Number+1 < start) {
		t.checkpoints = append(t.checkpoints, block.Cursor{Network: in.Network, Number: start - 1, Hash: in.Prev})
	}
	t.open, t.rows, t.asked = &in, false, len(t.checkpoints)
	if nothing {
		return decision{}
	}
	return decision{undo: &Undo{From: start, Base: t.base(), Reorg: true}}
}

// close ends the open range: it is complete. It returns nil if it had been closed
// before.
func (t *chainTracker) close() *Watermark {
	if t.open == nil {
		return nil
	}
	w := Watermark{Range: *t.open}
	t.open, t.rows = nil, false
	t.checkpoints = append(t.checkpoints, w.Range.Cursor())
	if surplus := len(t.checkpoints) - t.maxCheckpoints; surplus > 0 {
		t.checkpoints = append(t.checkpoints[:0], t.checkpoints[surplus:]...)
	}
	t.asked, t.heeded = len(t.checkpoints), false
	return &w
}

// position returns how far the stream has got, for messages.
func (t *chainTracker) position() string {
	if !t.fresh {
		return t.last.inclusive()
	}
	if edge, exists := t.edge(); exists {
		return edge.String()
	}
	return ""
}

func (t *chainTracker) refuse(rule error, incoming string) error {
	return fault.Permanent(fmt.Errorf("%s: %w", opGet, &ViolationError{Rule: rule, Before: t.position(), Incoming: incoming}))
}
