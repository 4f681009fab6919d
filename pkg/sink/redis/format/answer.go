package format

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ampipe/ampipe/pkg/fault"
)

// What scripts answer when they have changed nothing.
var (
	ErrStale = errors.New("another writer has changed the state meanwhile")
	// ErrTaken says that a key of a slice was there already, so that MSETNX has set none.
	ErrTaken     = errors.New("a key that is to be written is there")
	ErrForgotten = fault.Permanent(errors.New("the state of this sink is gone: somebody flushed the server or removed its " +
		"keys, or a replica was promoted that had nothing yet; start this sink again, and it loads everything anew"))
	ErrState = fault.Permanent(errors.New("the state of this sink in Redis is damaged; remove its keys and those of its " +
		"rows, and start it again"))
	errLost = fault.Permanent(errors.New("a node of the cluster has lost what it was sent: it was flushed, keys were removed, " +
		"or a replica took over that was behind; remove the keys of this sink and load it again"))
	errKept = fault.Permanent(errors.New("a node of the cluster holds state, and perhaps rows, of an earlier life of this " +
		"sink; remove all its keys and those of its rows, and start it again"))
)

// Answered reads the answer of a script, and returns the number of rows that were
// removed.
func (g *Table) Answered(reply []any) (gone uint64, err error) {
	if len(reply) < 2 {
		return 0, ErrState
	}
	switch status, _ := reply[0].(int64); status {
	case 0:
		n, _ := reply[1].(int64)
		return uint64(n), nil
	case 1:
		why := ""
		if len(reply) > 2 {
			why, _ = reply[2].(string)
		}
		switch why {
		case "forgotten":
			return 0, ErrForgotten
		case "lost":
			return 0, errLost
		case "kept":
			return 0, errKept
		default:
			return 0, ErrStale
		}
	case 3:
		return 0, ErrTaken
	default:
		return 0, fault.Permanent(fmt.Errorf("a reorg or a removal reaches below block %s, where the index of rows by block was dropped "+
			"(finality: %d), so its rows cannot be removed exactly; "+
			"remove the keys of this sink and load it again, with a higher finality", shownBlock(reply[2]), g.Finality))
	}
}

// shownBlock shows a block number of the state.
func shownBlock(v any) string {
	text, _ := v.(string)
	n, err := ParseBlock(text)
	if err != nil {
		return text
	}
	return strconv.FormatUint(uint64(n), 10)
}
