package amp

import (
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// track is what a consumer of a stream holds of the chain, and the judge of what
// the server sends next: the rules of AP 3.6 without a network.
//
// A point is a block up to which everything is complete. Points ascend; the
// consumer stands at the last of them, and has the unfinished rows of open beyond.
type track struct {
	network string         // "" until it is known
	points  []block.Cursor // ascending
	most    int            // points to remember
	// beginning is the first block of what the consumer holds, or may hold; nil while
	// it is not known. A chain that changes at or below it takes back everything, and
	// what lies below does not matter.
	beginning *block.Number
	fixed     bool // the beginning is the caller's, also while nothing is held
	// below says that the server has blocks below the beginning, so that a stream from
	// there has to be asked for by number.
	below bool
	// heeded says that the server was seen to heed cursors since it last seemed not to.
	heeded bool

	asked int   // the connection resumes from points[asked-1]; 0: from the beginning
	fresh bool  // nothing has come on this connection
	last  Range // what came last on it
	open  *Range
	rows  bool // rows of open have been given out
}

// newTrack starts from cursors that a consumer remembers. Those below the block
// before the beginning say nothing of what it holds, but for the last, from which it
// resumes. Errors are permanent.
func newTrack(network string, points []block.Cursor, beginning *block.Number, most int) (*track, error) {
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
	t := &track{network: network, most: most}
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
	t.points = append(t.points, points...)
	t.asked = len(t.points)
	return t, nil
}

// verdict is what follows from a message.
type verdict struct {
	undo *Undo // to be told first
	// again is not nil when the stream is to be dropped and asked for again from
	// where track.resume then says.
	again error
}

// resume prepares for a new connection and returns its cursor, nil for none. One
// with a hash that no block has makes the stream begin at its very number (AP 3.4).
func (t *track) resume() *block.Cursor {
	t.fresh = true
	switch {
	case t.asked > 0:
		c := t.points[t.asked-1]
		return &c
	case t.below:
		return &block.Cursor{Network: t.network, Number: *t.beginning}
	}
	return nil
}

// lost drops what was not finished when the connection ended.
func (t *track) lost() *Undo {
	t.asked = min(t.asked, len(t.points))
	return t.abandon()
}

func (t *track) abandon() *Undo {
	open, rows := t.open, t.rows
	t.open, t.rows = nil, false
	switch {
	case open == nil:
		return nil
	case len(t.points) == 0 && !t.fixed:
		t.beginning, t.below = nil, false // nothing is held: the stream may begin anywhere
	}
	if !rows {
		return nil
	}
	return &Undo{From: open.Numbers.Start, Base: t.base()}
}

// base is the last point.
func (t *track) base() *block.Cursor {
	if len(t.points) == 0 {
		return nil
	}
	c := t.points[len(t.points)-1]
	return &c
}

// take judges the metadata of a message with or without rows. An error is
// permanent, but for [ErrNoData], and changes nothing.
func (t *track) take(m Metadata, rows bool) (verdict, error) {
	if len(m.Ranges) == 0 && t.fresh && !rows {
		return verdict{}, fault.Later(fmt.Errorf("%s: %w", opGet, ErrNoData), 0)
	}
	if len(m.Ranges) == 0 && rows {
		return verdict{}, t.refuse(ErrRowsOfNothing, "no ranges")
	}
	if len(m.Ranges) != 1 {
		return verdict{}, t.refuse(ErrNetworks, fmt.Sprintf("%d ranges", len(m.Ranges)))
	}
	in := m.Ranges[0]
	if !t.fresh && in.same(t.last) { // rule 3
		if rows && t.open == nil {
			return verdict{}, t.refuse(ErrAfterClosing, in.inclusive())
		}
		t.rows = t.rows || rows
		return verdict{}, nil
	}
	if rule := t.wellFormed(in); rule != nil {
		return verdict{}, t.refuse(rule, in.inclusive())
	}
	v, err := t.move(in)
	if err == nil && v.again == nil {
		t.network, t.fresh, t.last, t.rows = in.Network, false, in, t.rows || rows
	}
	return v, err
}

// wellFormed checks a range by itself (rules 1 and 2).
func (t *track) wellFormed(in Range) error {
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

// edge is how far the connection has got: up to where it was asked to resume, or
// the end of its last range. It has no edge before its first range without a cursor.
func (t *track) edge() (end block.Cursor, exists bool) {
	switch {
	case !t.fresh:
		return t.last.Cursor(), true
	case t.asked > 0:
		return t.points[t.asked-1], true
	}
	return block.Cursor{}, false
}

// move judges a range that differs from the one before it (rules 4 to 9).
func (t *track) move(in Range) (verdict, error) {
	edge, exists := t.edge()
	start := in.Numbers.Start
	switch {
	case !exists:
		return t.begin(in)
	case start > edge.Number+1:
		return verdict{}, t.refuse(ErrGap, in.inclusive())
	case start == edge.Number+1 && in.Prev != edge.Hash:
		return verdict{}, t.refuse(ErrHashMismatch, in.inclusive())
	case start == edge.Number+1:
		return t.forward(in), nil
	case in.Prev == edge.Hash:
		return verdict{}, t.refuse(ErrInvalidReorg, in.inclusive())
	}
	return t.back(in, edge)
}

// begin takes the first range of a stream that was asked for from the beginning.
func (t *track) begin(in Range) (verdict, error) {
	start := in.Numbers.Start
	held := len(t.points) > 0 // but no point was left to resume from
	switch {
	case t.below && start != *t.beginning:
		return verdict{}, t.ignored(block.Cursor{Network: in.Network, Number: *t.beginning}, in)
	case t.beginning != nil && start < *t.beginning:
		t.below = true
		return t.again(0, ErrFork, in), nil
	case held && start == *t.beginning:
		return t.all(in), nil
	case held:
		return verdict{}, fault.Permanent(fmt.Errorf("%w: block %d is the first that was loaded, and the stream would now begin with %s",
			ErrDeepReorg, *t.beginning, in.inclusive()))
	}
	t.beginning, t.open = &start, &in
	return verdict{}, nil
}

// all releases everything that is held, for a range that begins with the same block.
func (t *track) all(in Range) verdict {
	v := t.fork(in, 0)
	if t.below {
		return v
	}
	t.points = nil // the server has no block before it to resume from
	if v.undo != nil {
		v.undo.Base = nil
	}
	return v
}

// forward takes a range that continues the chain.
func (t *track) forward(in Range) verdict {
	if t.open != nil {
		// Only the closing message of this range will vouch for the one before it, so
		// they are one from here on (rule 9).
		whole := in
		whole.Numbers.Start, whole.Prev, whole.HasPrev = t.open.Numbers.Start, t.open.Prev, t.open.HasPrev
		t.open = &whole
		return verdict{}
	}
	var v verdict
	if t.fresh && t.asked < len(t.points) { // the fork has been found
		t.points = t.points[:t.asked]
		v.undo = &Undo{From: in.Numbers.Start, Base: t.base(), Reorg: true}
	}
	t.open = &in
	return v
}

// back takes a range that goes back (rules 6 to 9).
func (t *track) back(in Range, edge block.Cursor) (verdict, error) {
	start := in.Numbers.Start
	held := t.points
	if t.fresh {
		held = held[:t.asked]
	}
	if t.open != nil {
		floor := t.open.Numbers.Start // of the unfinished blocks
		switch {
		case start > floor: // the blocks between would be lost (rule 9)
			return t.again(len(held), ErrUnfinished, in), nil
		case start == floor && len(held) == 0:
			v := verdict{undo: t.abandon()}
			if v.undo != nil {
				v.undo.Reorg = true
			}
			t.beginning, t.open = &start, &in
			return v, nil
		}
	}
	// below is how many points the range leaves as they are.
	below := len(held)
	for below > 0 && held[below-1].Number >= start {
		below--
	}
	switch {
	case below > 0 && held[below-1].Number+1 == start:
		if held[below-1].Hash != in.Prev {
			return t.again(below, ErrFork, in), nil
		}
		return t.fork(in, below), nil
	case t.beginning != nil && start < *t.beginning:
		t.below = true
		return t.again(0, ErrFork, in), nil
	case t.beginning != nil && start == *t.beginning && t.fresh && !t.heeded:
		return verdict{}, &doubtError{edge, in}
	case t.beginning != nil && start == *t.beginning:
		return t.all(in), nil
	case start == edge.Number:
		// What a server answers that does not know the block any more, however deep
		// the fork is (AP 3.4); nothing here shows whether it is deeper.
		if below > 0 || t.beginning != nil {
			return t.again(below, ErrFork, in), nil
		}
	case below > 0 || t.beginning != nil:
		return t.fork(in, below), nil
	}
	return verdict{}, t.deep(in, edge)
}

// doubtError says that a server which was asked to resume went back to the beginning.
// Either everything has left the chain, or the server did not heed the cursor and began
// at its earliest block, which is found out by a probe of another block.
type doubtError struct {
	asked block.Cursor
	sent  Range
}

func (e *doubtError) Error() string {
	return fmt.Sprintf("asked to resume after %v, the server sent %s, and it is not known yet whether it heeds cursors",
		e.asked, e.sent.inclusive())
}

// ignored is the error for a server that began with in instead of heeding a cursor.
func (t *track) ignored(asked block.Cursor, in Range) error {
	return fault.Permanent(fmt.Errorf("%s: %w: asked to resume after %v, it sent %s; "+
		"is there a proxy that drops the header amp-resume?", opGet, ErrCursorIgnored, asked, in.inclusive()))
}

func (t *track) deep(in Range, edge block.Cursor) error {
	text := "nothing is remembered"
	if len(t.points) > 0 {
		text = "the oldest is " + t.points[0].String()
	}
	err := fmt.Errorf("%s: %w: after %v came %s, and %s; nothing was undone", opGet, ErrDeepReorg, edge, in.inclusive(), text)
	if t.fresh {
		err = fmt.Errorf("%w; should the server have ignored the cursor, look for a proxy that drops the header amp-resume", err)
	}
	return fault.Permanent(err)
}

// again has the stream dropped and asked for again after the given number of
// points. What is complete stays until the answer shows what is void.
func (t *track) again(points int, why error, in Range) verdict {
	t.asked = points
	reason := fmt.Errorf("%w: %s, after %s", why, in.inclusive(), t.position())
	return verdict{undo: t.abandon(), again: reason}
}

// fork rolls back everything from the start of in, which is where the chain forks,
// and continues with it. A point that the range cuts off is replaced by the block
// before the range (rule 8).
func (t *track) fork(in Range, below int) verdict {
	start := in.Numbers.Start
	nothing := below == len(t.points) && !t.rows // has been given out above the fork
	t.points = t.points[:below]
	if start > 0 && (below == 0 || t.points[below-1].Number+1 < start) {
		t.points = append(t.points, block.Cursor{Network: in.Network, Number: start - 1, Hash: in.Prev})
	}
	t.open, t.rows, t.asked = &in, false, len(t.points)
	if nothing {
		return verdict{}
	}
	return verdict{undo: &Undo{From: start, Base: t.base(), Reorg: true}}
}

// close ends the open range: it is complete. It returns nil if it had been closed
// before.
func (t *track) close() *Watermark {
	if t.open == nil {
		return nil
	}
	w := Watermark{Range: *t.open}
	t.open, t.rows = nil, false
	t.points = append(t.points, w.Range.Cursor())
	if surplus := len(t.points) - t.most; surplus > 0 {
		t.points = append(t.points[:0], t.points[surplus:]...)
	}
	t.asked, t.heeded = len(t.points), false
	return &w
}

// position says how far the stream has got, for people.
func (t *track) position() string {
	if !t.fresh {
		return t.last.inclusive()
	}
	if edge, exists := t.edge(); exists {
		return edge.String()
	}
	return ""
}

func (t *track) refuse(rule error, incoming string) error {
	return fault.Permanent(fmt.Errorf("%s: %w", opGet, &ViolationError{Rule: rule, Before: t.position(), Incoming: incoming}))
}
