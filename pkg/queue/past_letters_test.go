package queue_test

import (
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestPastLetters are removed up to a mark, of some blocks; what was refused again stays.
func TestPastLetters(t *testing.T) {
	t.Parallel()
	c := mustConn(t)
	past := c.PastLetters("pipe", "warehouse")
	if mark, err := past.Mark(testContext(t)); err != nil || mark != (state.LettersMark{}) {
		t.Errorf("without a letter: %+v, %v", mark, err)
	}
	must(t, past.RemoveBefore(testContext(t), block.NewSet(everyBlock), state.LettersMark{Seq: 9}))
	d := mustLetters(t, c, 1<<20)
	must(t, d.Put(testContext(t), []deadletter.Letter{
		letter(t, 5, 1, 1, "accepted"), letter(t, 5, 1, 1, "refused"), letter(t, 7, 1, 2, "of another block"),
	}))
	mark, err := past.Mark(testContext(t))
	must(t, err)
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 5, 1, 1, "refused"), letter(t, 5, 1, 9, "new")}))
	only := block.NewSet(block.Closed(5, 5))
	made := mark
	made.Stream = made.Stream.Add(-1)
	must(t, past.RemoveBefore(testContext(t), only, made)) // of a stream that is gone
	if n := len(stored(t, d, everyBlock)); n != 4 {
		t.Errorf("%d letters are left", n)
	}
	for range 2 {
		must(t, past.RemoveBefore(testContext(t), only, mark))
		got := stored(t, d, everyBlock)
		slices.Sort(got)
		if want := []string{"5 new", "5 refused", "7 of another block"}; !slices.Equal(got, want) {
			t.Errorf("the letters are %v, want %v", got, want)
		}
	}
	blocks, err := past.Blocks(testContext(t))
	if err != nil || !blocks.Equal(block.NewSet(block.Closed(5, 5), block.Closed(7, 7))) {
		t.Errorf("blocks %v, %v", blocks, err)
	}

	if n, err := d.Len(testContext(t)); n != 3 || err != nil {
		t.Errorf("%d letters, %v", n, err)
	}
	fresh, err := c.DeadLetters(testContext(t), "pipe", "warehouse", 0)
	must(t, err)
	newest, err := fresh.Newest(testContext(t), 2)
	must(t, err)
	var texts []string
	for _, l := range newest {
		texts = append(texts, l.Source.Column(0).String())
		l.Release()
	}
	if want := []string{`["new"]`, `["refused"]`}; !slices.Equal(texts, want) {
		t.Errorf("the newest are %v, want %v", texts, want)
	}

	sinks, err := c.DeadLetterSinks(testContext(t), "pipe")
	if err != nil || !slices.Equal(sinks, []string{"warehouse"}) {
		t.Errorf("sinks %v, %v", sinks, err)
	}
	must(t, fresh.Delete(testContext(t)))
	must(t, fresh.Delete(testContext(t)))
	sinks, err = c.DeadLetterSinks(testContext(t), "pipe")
	if err != nil || len(sinks) > 0 {
		t.Errorf("sinks %v, %v", sinks, err)
	}
}
