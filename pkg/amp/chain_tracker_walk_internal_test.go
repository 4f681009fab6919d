package amp

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

// forked is a server whose chain, from block earliest on, was on fork 'a' until it
// changed to fork 'b' at block fork.
type forked struct {
	earliest, fork, head int
	forgotten            bool // fork 'a' from block fork on
}

func (s forked) side(n int) byte {
	if n >= s.fork {
		return 'b'
	}
	return 'a'
}

// after is the range that the server sends first after a cursor (AP 3.4).
func (s forked) after(c *block.Cursor) Range {
	start := s.earliest
	if c != nil {
		n := int(c.Number)
		switch c.Hash {
		case hashOf(n, s.side(n)):
			start = n + 1
		case hashOf(n, 'a'):
			start = s.fork
			if s.forgotten {
				start = n
			}
		default:
			start = n
		}
	}
	r := Range{Network: "anvil", Numbers: block.Closed(block.Number(start), block.Number(s.head)), Hash: hashOf(s.head, 'b'), HasPrev: true}
	if start > 0 {
		r.Prev = hashOf(start-1, s.side(start-1))
	}
	return r
}

// TestEveryForkIsFollowed walks the first block of the live lane from the beginning to
// 200 blocks behind it, and the fork from the chain's first block to the live lane: a
// stream goes back to it, or to the beginning if it lies below, whether it was open when
// the chain changed or not, and when the server has forgotten the old fork.
func TestEveryForkIsFollowed(t *testing.T) {
	t.Parallel()
	for _, at := range []struct{ earliest, first int }{{0, 0}, {1000, 1000}, {0, 1}, {0, 30}, {1000, 1030}} {
		for live := at.first + 1; live <= at.first+200; live++ {
			var points []block.Cursor // of a plan
			if at.first > at.earliest {
				points = append(points, block.Cursor{Network: "anvil", Number: block.Number(at.first - 1), Hash: hashOf(at.first-1, 'a')})
			}
			for _, n := range []int{live - 129, live - 65, live - 1} {
				if n >= at.first {
					points = append(points, block.Cursor{Network: "anvil", Number: block.Number(n), Hash: hashOf(n, 'a')})
				}
			}
			for fork := at.earliest; fork <= live; fork++ {
				server := forked{earliest: at.earliest, fork: fork, head: live + 8}
				for _, open := range []bool{true, false} {
					for _, server.forgotten = range []bool{false, true} {
						if from, err := walk(points, at.first, live, server, open); err != nil || from > max(fork, at.first) || from < at.first {
							t.Fatalf("from %d, loaded from %d, live from %d, fork at %d, open %v, forgotten %v: undone from %d, %v",
								at.earliest, at.first, live, fork, open, server.forgotten, from, err)
						}
					}
				}
			}
		}
	}
}

// walk follows fork 'a' a little beyond live, then the server, and returns the lowest
// block that was undone when it has caught up.
func walk(points []block.Cursor, first, live int, server forked, open bool) (from int, err error) {
	beginning := block.Number(first)
	tracker, err := newChainTracker("anvil", points, &beginning, 512)
	if err != nil {
		return 0, err
	}
	from = live + 100
	told := func(u *Undo) {
		if u != nil {
			from = min(from, int(u.From))
		}
	}
	tracker.resume()
	before := Range{Network: "anvil", Numbers: block.Closed(block.Number(live), block.Number(live+4)), Hash: hashOf(live+4, 'a'), Prev: hashOf(live-1, 'a'), HasPrev: true}
	if _, err := tracker.take(Metadata{Ranges: []Range{before}}, true); err != nil {
		return 0, err
	}
	tracker.close()
	next := Range{Network: "anvil", Numbers: block.Closed(block.Number(server.fork), block.Number(server.head)), Hash: hashOf(server.head, 'b'), HasPrev: true}
	if server.fork > 0 {
		next.Prev = hashOf(server.fork-1, 'a')
	}
	for asked := 0; asked < 20; asked++ {
		if asked > 0 || !open {
			told(tracker.lost())
			next = server.after(tracker.resume())
		}
		v, err := tracker.take(Metadata{Ranges: []Range{next}}, true)
		if _, doubt := errors.AsType[*doubtError](err); doubt {
			tracker.heeded = true
			continue
		}
		if err != nil {
			return 0, err
		}
		told(v.undo)
		if v.restart != nil {
			continue
		}
		tracker.close()
		if *tracker.base() != next.Cursor() {
			return 0, fmt.Errorf("ends at %v", tracker.base())
		}
		// Everything that was undone has come again.
		if came := int(next.Numbers.Start); came > from {
			return 0, fmt.Errorf("undone from %d, and only %d came again", from, came)
		}
		return from, nil
	}
	return 0, errors.New("asks for ever")
}
