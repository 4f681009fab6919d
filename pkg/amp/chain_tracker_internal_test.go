package amp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// hashOf is the hash of a block on a fork: 'a' is the first.
func hashOf(n int, fork byte) (h block.Hash) {
	h[0], h[1], h[30], h[31] = fork, 1, byte(n>>8), byte(n)
	return h
}

// rangeOf reads "11-20b" or, when the block before it is on another fork,
// "a11-20b".
func rangeOf(text string) Range {
	before := byte(0)
	if text[0] >= 'a' {
		before, text = text[0], text[1:]
	}
	var from, to int
	var fork byte
	if _, err := fmt.Sscanf(text, "%d-%d%c", &from, &to, &fork); err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
	if before == 0 {
		before = fork
	}
	r := Range{Network: "anvil", Numbers: block.Closed(block.Number(from), block.Number(to)), Hash: hashOf(to, fork), HasPrev: true}
	if from > 0 {
		r.Prev = hashOf(from-1, before)
	}
	return r
}

func cursorOf(text string) block.Cursor {
	var n int
	var fork byte
	if _, err := fmt.Sscanf(text, "%d%c", &n, &fork); err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
	return block.Cursor{Network: "anvil", Number: block.Number(n), Hash: hashOf(n, fork)}
}

func cursorText(c *block.Cursor) string {
	switch {
	case c == nil:
		return "beginning"
	case c.Hash.IsZero():
		return fmt.Sprintf("%d exactly", c.Number)
	}
	return fmt.Sprintf("%d%c", c.Number, c.Hash[0])
}

// play runs a script of messages over a tracker and returns what came of it. Words:
// "D RANGE" rows, "K RANGE" a message without rows, "W RANGE" a closing message,
// "cut" the end of the connection. A range "backN-M" names the end of the range
// before it as the block before N.
func play(t *chainTracker, script string) string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	told := func(u *Undo) {
		if u != nil {
			kind := "undo"
			if u.Reorg {
				kind = "reorg"
			}
			say("%s %d (%s)", kind, u.From, cursorText(u.Base))
		}
	}
	reconnect := func() {
		told(t.lost())
		say("from %s", cursorText(t.resume()))
	}
	t.resume()
	for step := range strings.SplitSeq(script, ", ") {
		if step == "cut" {
			reconnect()
			continue
		}
		kind, text, _ := strings.Cut(step, " ")
		r := Range{}
		if ends, unchanged := strings.CutPrefix(text, "back"); unchanged {
			r = rangeOf(ends + "b")
			r.Prev = t.last.Hash
		} else {
			r = rangeOf(text)
		}
		v, err := t.take(Metadata{Ranges: []Range{r}, Complete: kind == "W"}, kind == "D")
		var broken *ViolationError
		var doubt *doubtError
		switch {
		case errors.As(err, &doubt): // and the server is found to heed cursors
			say("doubt")
			t.heeded = true
			reconnect()
			continue
		case errors.As(err, &broken):
			say("%v", broken.Rule)
			return strings.Join(out, ", ")
		case err != nil:
			for _, known := range []error{ErrDeepReorg, ErrCursorIgnored} {
				if errors.Is(err, known) {
					say("%v", known)
				}
			}
			return strings.Join(out, ", ")
		}
		told(v.undo)
		if v.restart != nil {
			reconnect()
			continue
		}
		if kind == "D" {
			say("rows")
		}
		if kind == "W" {
			if w := t.close(); w != nil {
				say("W %d-%d%c", w.Range.Numbers.Start, w.Range.Numbers.Last(), w.Range.Hash[0])
			}
		}
	}
	return strings.Join(out, ", ")
}

// TestRules holds the rules of AP 3.6 and the scenarios of AP 9.1 to 9.3 against
// the tracker. Every stream begins without a cursor unless the row says otherwise.
func TestRules(t *testing.T) {
	t.Parallel()
	zero := block.Number(0)
	for _, c := range []struct {
		name, resume, script, want string
		whole                      bool // resume is everything since block 0
		first                      int  // of what is held, if it is not 0
		most                       int
	}{
		// AP 9.1.
		{name: "data and marker", script: "D 0-10a, W 0-10a", want: "rows, W 0-10a"},
		{name: "one marker for several ranges", script: "D 0-10a, D 11-20a, D 21-30a, W 21-30a", want: "rows, rows, rows, W 0-30a"},
		{name: "markers alone advance", script: "W 0-10a, W 11-20a, W 21-30a", want: "W 0-10a, W 11-20a, W 21-30a"},
		{name: "keep-alives say nothing", script: "K 0-10a, K 0-10a, D 0-10a, K 0-10a, W 0-10a", want: "rows, W 0-10a"},
		{name: "crash after a marker", script: "D 0-10a, W 0-10a, D 11-20a, cut, D 11-20a, W 11-20a", want: "rows, W 0-10a, rows, undo 11 (10a), from 10a, rows, W 11-20a"},
		{name: "crash after several unfinished", script: "W 0-10a, D 11-12a, D 13-14a, D 15-16a, cut", want: "W 0-10a, rows, rows, rows, undo 11 (10a), from 10a"},
		{name: "crash when all is finished", script: "D 0-10a, W 0-10a, cut, D 11-20a", want: "rows, W 0-10a, from 10a, rows"},
		{name: "crash on the very first rows", script: "D 0-10a, cut, D 0-12a, W 0-12a", want: "rows, undo 0 (beginning), from beginning, rows, W 0-12a"},
		{name: "crash on a keep-alive", script: "W 0-10a, K 11-20a, cut, K 11-21a, W 11-21a", want: "W 0-10a, from 10a, W 11-21a"},
		{name: "rewind and on", script: "W 0-10a, D 11-15a, cut, D 11-15a, W 11-15a, D 16-20a", want: "W 0-10a, rows, undo 11 (10a), from 10a, rows, W 11-15a, rows"},

		// AP 9.2.
		{name: "reorg of the unfinished", script: "D 0-10a, W 0-10a, D 11-15a, W a11-12b", want: "rows, W 0-10a, rows, reorg 11 (10a), W 11-12b"},
		{name: "reorg of several unfinished", script: "W 0-10a, D 11-20a, D 21-30a, D 31-40a, W a11-20b", want: "W 0-10a, rows, rows, rows, reorg 11 (10a), W 11-20b"},
		{name: "earlier ranges stay", script: "W 0-10a, W 11-20a, D 21-30a, W a21-25b", want: "W 0-10a, W 11-20a, rows, reorg 21 (20a), W 21-25b"},
		{name: "two reorgs in a row", script: "W 0-10a, W 11-20a, D 21-30a, W a21-25b, D 26-30b, W a21-30c", want: "W 0-10a, W 11-20a, rows, reorg 21 (20a), W 21-25b, rows, reorg 21 (20a), W 21-30c"},
		{name: "reorg inside the unfinished", script: "D 0-10a, W 0-10a, D 11-20a, W a15-25b, D a11-25b, W a11-25b", want: "rows, W 0-10a, rows, undo 11 (10a), from 10a, rows, W 11-25b"},
		{name: "reorg over four ranges", script: "D 0-5a, W 0-5a, D 6-10a, W 6-10a, D 11-15a, W 11-15a, D 16-20a, W 16-20a, W a6-10b", want: "rows, W 0-5a, rows, W 6-10a, rows, W 11-15a, rows, W 16-20a, reorg 6 (5a), W 6-10b"},
		{name: "the same marker again", script: "W 0-20a, D 21-30a, W 21-30a, W 21-30a, K 21-30a, W 31-31a", want: "W 0-20a, rows, W 21-30a, W 31-31a"},
		{name: "reorg inside a complete range", script: "W 0-10a, W 11-20a, D a15-25b, W a15-25b, W 26-26b", want: "W 0-10a, W 11-20a, reorg 15 (14a), rows, W 15-25b, W 26-26b"},
		{name: "cut after a partial reorg", script: "W 0-10a, W 11-20a, D a15-25b, cut, D a15-26b, W a15-26b", want: "W 0-10a, W 11-20a, reorg 15 (14a), rows, undo 15 (14a), from 14a, rows, W 15-26b"},
		{name: "cut before the rows of a partial reorg", script: "W 0-10a, W 11-20a, K a15-25b, cut, D a15-26b", want: "W 0-10a, W 11-20a, reorg 15 (14a), from 14a, rows"},
		{name: "reorg below all that is remembered", resume: "100a", script: "W 101-110a, K a90-120b", want: "W 101-110a, " + ErrDeepReorg.Error()},
		{name: "reorg below what has been forgotten", most: 2, script: "W 0-10a, W 11-20a, W 21-30a, K a5-31b", want: "W 0-10a, W 11-20a, W 21-30a, reorg 5 (4a)"},
		{name: "reorg to what is still remembered", most: 2, script: "W 0-10a, W 11-20a, W 21-30a, K a21-31b", want: "W 0-10a, W 11-20a, W 21-30a, reorg 21 (20a)"},
		{name: "reorg that ends below the old end", script: "W 0-10a, W 11-20a, D a9-15b, W a9-15b, D 16-22b, W 16-22b", want: "W 0-10a, W 11-20a, reorg 9 (8a), rows, W 9-15b, rows, W 16-22b"},

		// AP 9.3: what is right.
		{name: "forward", script: "W 0-10a, K 11-20a", want: "W 0-10a"},
		{name: "reorg beyond the old end", script: "W 0-100a, K a50-150b", want: "W 0-100a, reorg 50 (49a)"},
		{name: "reorg far beyond the old end", script: "W 0-100a, K a50-200b", want: "W 0-100a, reorg 50 (49a)"},
		{name: "reorg to genesis", script: "W 0-100a, K 0-101b", want: "W 0-100a, reorg 0 (beginning)"},
		{name: "unfinished reorg to genesis", script: "D 0-100a, K 0-101b", want: "rows, reorg 0 (beginning)"},
		{name: "identical", script: "K 0-10a, K 0-10a, W 0-10a, W 0-10a", want: "W 0-10a"},
		// What is wrong.
		{name: "other hash before", script: "W 0-100a, K b101-200a", want: "W 0-100a, " + ErrHashMismatch.Error()},
		{name: "other hash before the unfinished", script: "D 0-100a, K b101-200a", want: "rows, " + ErrHashMismatch.Error()},
		{name: "gap", script: "W 0-100a, K 150-200a", want: "W 0-100a, " + ErrGap.Error()},
		{name: "back without a change by one", script: "W 0-10a, K back10-20", want: "W 0-10a, " + ErrInvalidReorg.Error()},
		{name: "back without a change", script: "W 0-100a, K back50-100", want: "W 0-100a, " + ErrInvalidReorg.Error()},
		{name: "rows after the marker", script: "W 0-10a, D 0-10a", want: "W 0-10a, " + ErrAfterClosing.Error()},
		{name: "resumed after a gap", resume: "10a", script: "K 12-20a", want: ErrGap.Error()},
		{name: "resumed on another chain", resume: "10a", script: "K b11-20b", want: ErrHashMismatch.Error()},

		// Rule 7: a fork that is deeper than the server shows.
		{
			name: "unknown hash, two blocks deep", resume: "10a 12a 13a 14a",
			script: "K b14-20b, K b13-20b, K a13-20b, W a13-20b",
			want:   "from 13a, from 12a, reorg 13 (12a), W 13-20b",
		},
		{
			name: "unknown hash, inside a range", resume: "10a 14a", script: "K b14-20b, D b11-20b, W a11-20b",
			want: "from 10a, " + ErrHashMismatch.Error(),
		},
		{
			name: "unknown hash, range begun again", resume: "10a 14a", script: "K b14-20b, D a11-20b, W a11-20b",
			want: "from 10a, reorg 11 (10a), rows, W 11-20b",
		},
		{
			name: "the connection fails in between", resume: "10a 14a", script: "K b14-20b, cut, D a11-20b, W a11-20b",
			want: "from 10a, from 10a, reorg 11 (10a), rows, W 11-20b",
		},
		{
			name: "unknown hash and nothing older", resume: "14a", script: "K b14-20b", want: ErrDeepReorg.Error(),
		},
		{
			name: "unknown hash and only the beginning left", whole: true, resume: "14a", script: "K b14-20b, D 0-20b, W 0-20b",
			want: "from beginning, reorg 0 (beginning), rows, W 0-20b",
		},
		{
			name: "the beginning has moved", whole: true, resume: "14a", script: "K b14-20b, D 5-20b", want: "from beginning, " + ErrDeepReorg.Error(),
		},
		{
			name: "unknown hash in the middle of the stream", script: "W 0-10a, W 11-14a, K b14-20b, D a11-20b",
			want: "W 0-10a, W 11-14a, from 10a, reorg 11 (10a), rows",
		},
		{name: "fork of one block, verified", resume: "13a 14a", script: "K a14-20b", want: "reorg 14 (13a)"},

		// A reorg while nobody was connected.
		{name: "orphaned cursor", resume: "10a 20a", script: "D a15-30b, W a15-30b", want: "reorg 15 (14a), rows, W 15-30b"},
		{name: "orphaned cursor in the first range", whole: true, resume: "20a", script: "D a15-30b", want: "reorg 15 (14a), rows"},
		{name: "orphaned cursor at a point", resume: "10a 14a 20a", script: "D a15-30b", want: "reorg 15 (14a), rows"},
		{name: "orphaned cursor below the only point", resume: "20a", script: "D a15-30b", want: ErrDeepReorg.Error()},

		// An ignored cursor.
		{name: "ignored cursor", script: "W 0-10a, W 11-20a, cut, K 0-25a", want: "W 0-10a, W 11-20a, from 20a, doubt, from 20a"},
		{name: "ignored cursor after one block", script: "W 0-0a, cut, K 0-25a", want: "W 0-0a, from 0a, doubt, from 0a"},
		{name: "ignored cursor of a caller", resume: "15a 20a", script: "D 0-25a", want: ErrDeepReorg.Error()},
		{name: "ignored cursor of a caller that knows the beginning", whole: true, resume: "15a 20a", script: "D 0-25a", want: "doubt, from 20a"},
		{name: "everything has left the chain", whole: true, resume: "15a 20a", script: "K 0-25b, D 0-25b, W 0-25b, cut, K 26-26b", want: "doubt, from 20a, reorg 0 (beginning), rows, W 0-25b, from 25b"},
		{name: "everything has left the chain, unfinished", whole: true, resume: "15a 20a", script: "K 0-25b, D 0-25b, cut, D 0-25c, W 0-25c", want: "doubt, from 20a, reorg 0 (beginning), rows, undo 0 (beginning), from beginning, rows, W 0-25c"},

		// A beginning with blocks of the chain before it.
		{name: "reorg above the beginning", first: 10, resume: "9a 20a", script: "W 21-21a, D a12-25b", want: "W 21-21a, reorg 12 (11a), rows"},
		{name: "reorg to the beginning", first: 10, resume: "9a 20a", script: "W 21-21a, D a10-25b", want: "W 21-21a, reorg 10 (9a), rows"},
		{name: "reorg below the beginning", first: 10, resume: "9a 20a", script: "W 21-21a, K a5-25b, D 10-25b, W 10-25b, cut", want: "W 21-21a, from 10 exactly, reorg 10 (9b), rows, W 10-25b, from 25b"},
		{name: "reorg below the beginning while away", first: 10, resume: "9a 20a", script: "K a5-25b, D 10-25b, cut, D 10-25b", want: "from 10 exactly, reorg 10 (9b), rows, undo 10 (9b), from 9b, rows"},
		{name: "reorg below the beginning, unfinished", first: 10, resume: "9a 20a", script: "D 21-25a, K a5-30b, cut, D 10-30b", want: "rows, undo 21 (20a), from 10 exactly, from 10 exactly, reorg 10 (9b), rows"},
		{name: "unknown hash before the beginning", first: 10, resume: "9a 20a", script: "K b20-25b, K b9-25b, D 10-25b, W 10-25b", want: "from 9a, from 10 exactly, reorg 10 (9b), rows, W 10-25b"},
		{name: "ignored cursor of a beginning", first: 10, resume: "9a 20a", script: "K 0-25a, K 0-25a", want: "from 10 exactly, " + ErrCursorIgnored.Error()},
		{name: "older cursors than the beginning", first: 10, resume: "3a 6a 9a 20a", script: "K a7-25b, D 10-25b", want: "from 10 exactly, reorg 10 (9b), rows"},
		{name: "a cursor before the beginning", first: 30, resume: "3a 20a", script: "W 21-22a, K a20-25b, D 21-25b", want: "W 21-22a, from 21 exactly, reorg 21 (20b), rows"},
		// A beginning that is the server's first block, as far as anybody knows.
		{name: "reorg to the server's first block", first: 10, resume: "12a 20a", script: "W 21-21a, D a10-25b, W a10-25b, cut", want: "W 21-21a, reorg 10 (beginning), rows, W 10-25b, from 25b"},
		{name: "unknown hash and a later first block", first: 10, resume: "12a 20a", script: "K b20-25b, K b12-25b, D 10-25b", want: "from 12a, from beginning, reorg 10 (beginning), rows"},
		{name: "the server has blocks before it after all", first: 10, resume: "12a 20a", script: "K b20-25b, K b12-25b, K 0-25b, D 10-25b, W 10-25b", want: "from 12a, from beginning, from 10 exactly, reorg 10 (9b), rows, W 10-25b"},
		{name: "a beginning without a cursor", first: 10, script: "D 10-15a, W 10-15a", want: "rows, W 10-15a"},
		{name: "a beginning without a cursor, above the server's", first: 10, script: "D 0-15a, D 10-15a, W 10-15a", want: "from 10 exactly, rows, W 10-15a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var points []block.Cursor
			for _, text := range strings.Fields(c.resume) {
				points = append(points, cursorOf(text))
			}
			beginning := &zero
			switch {
			case c.first > 0:
				beginning = new(block.Number(c.first))
			case !c.whole:
				beginning = nil
			}
			if c.most == 0 {
				c.most = 512
			}
			tracker, err := newChainTracker("", points, beginning, c.most)
			if err != nil {
				t.Fatal(err)
			}
			if got := play(tracker, c.script); got != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.script, got, c.want)
			}
		})
	}
}

func TestRulesOfOneRange(t *testing.T) {
	t.Parallel()
	other := rangeOf("11-20a")
	other.Network = "mainnet"
	unnamed, zeroed, genesis, empty := rangeOf("11-20a"), rangeOf("11-20a"), rangeOf("0-5a"), rangeOf("11-20a")
	unnamed.Prev, unnamed.HasPrev = block.Hash{}, false
	zeroed.Prev = block.Hash{}
	genesis.Prev = hashOf(1, 'a')
	empty.Numbers.End = 11
	absent := rangeOf("0-5a")
	absent.HasPrev = false
	for name, c := range map[string]struct {
		ranges []Range
		rows   bool
		rule   error
	}{
		"no previous hash":                    {ranges: []Range{unnamed}, rule: ErrNoPrev},
		"a previous hash of zeros":            {ranges: []Range{zeroed}, rule: ErrNoPrev},
		"a block before genesis":              {ranges: []Range{genesis}, rule: ErrGenesisPrev},
		"nothing before genesis":              {ranges: []Range{rangeOf("0-5a")}},
		"nothing before genesis, not even so": {ranges: []Range{absent}},
		"an inverted range":                   {ranges: []Range{empty}, rule: ErrNoBlocks},
		"another network":                     {ranges: []Range{other}, rule: ErrOtherNetwork},
		"a network more":                      {ranges: []Range{rangeOf("11-20a"), other}, rule: ErrNetworks},
		"rows of nothing":                     {rows: true, rule: ErrRowsOfNothing},
	} {
		tracker, err := newChainTracker("anvil", nil, nil, 512)
		if err != nil {
			t.Fatal(err)
		}
		tracker.resume()
		_, err = tracker.take(Metadata{Ranges: c.ranges}, c.rows)
		checkRule(t, name, err, c.rule)
	}

	// The set of networks must not change within a stream.
	for name, ranges := range map[string][]Range{"missing": nil, "added": {rangeOf("11-20a"), other}, "other": {other}} {
		tracker, err := newChainTracker("", nil, nil, 512)
		if err != nil {
			t.Fatal(err)
		}
		tracker.resume()
		if _, err := tracker.take(Metadata{Ranges: []Range{rangeOf("0-10a")}, Complete: true}, false); err != nil {
			t.Fatal(err)
		}
		tracker.close()
		_, err = tracker.take(Metadata{Ranges: ranges}, false)
		rule := ErrNetworks
		if name == "other" {
			rule = ErrOtherNetwork
		}
		checkRule(t, name, err, rule)
	}
}

func checkRule(t *testing.T, name string, err, rule error) {
	t.Helper()
	if rule == nil {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	var broken *ViolationError
	if !errors.As(err, &broken) || !errors.Is(err, rule) || !errors.Is(err, ErrProtocol) || fault.Of(err) != fault.ClassPermanent {
		t.Errorf("%s: %v, want %v", name, err, rule)
	}
}

func TestAViolationNamesBothRanges(t *testing.T) {
	t.Parallel()
	tracker, err := newChainTracker("", nil, nil, 512)
	if err != nil {
		t.Fatal(err)
	}
	tracker.resume()
	if _, err := tracker.take(Metadata{Ranges: []Range{rangeOf("0-100a")}}, true); err != nil {
		t.Fatal(err)
	}
	_, err = tracker.take(Metadata{Ranges: []Range{rangeOf("150-200a")}}, true)
	for _, part := range []string{"anvil blocks 0 to 100 (0x61010000", "anvil blocks 150 to 200 (0x61010000", " after 0x6101"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %q", err, part)
		}
	}
}

func TestNoDataIsNotStored(t *testing.T) {
	t.Parallel()
	points := []block.Cursor{cursorOf("10a")}
	tracker, err := newChainTracker("", points, nil, 512)
	if err != nil {
		t.Fatal(err)
	}
	tracker.resume()
	_, err = tracker.take(Metadata{Complete: true}, false)
	if !errors.Is(err, ErrNoData) || fault.Of(err) != fault.ClassLater {
		t.Errorf("%v (%v)", err, fault.Of(err))
	}
	tracker.lost()
	if c := tracker.resume(); c == nil || *c != points[0] || !slices.Equal(tracker.checkpoints, points) {
		t.Errorf("resumes from %v with %v", c, tracker.checkpoints)
	}
}

func TestCursorsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	other := cursorOf("20a")
	other.Network = "mainnet"
	zero := block.Cursor{Network: "anvil", Number: 5}
	for name, c := range map[string]struct {
		points []block.Cursor
		says   string
	}{
		"another network": {points: []block.Cursor{cursorOf("10a"), other}, says: "network"},
		"no network":      {points: []block.Cursor{{}}, says: "network"},
		"not ascending":   {points: []block.Cursor{cursorOf("10a"), cursorOf("10b")}, says: "ascend"},
		"no hash":         {points: []block.Cursor{zero}, says: "hash"},
		"too high":        {points: []block.Cursor{{Network: "anvil", Number: block.Max + 1}}, says: "high"},
	} {
		_, err := newChainTracker("", c.points, nil, 512)
		if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
