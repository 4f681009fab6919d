package queue_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// letter is a dead letter of the live lane whose row is a text.
func letter(t testing.TB, n block.Number, epoch, seq uint64, text string) deadletter.Letter {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).Append(text)
	rec := b.NewRecordBatch()
	id := deadletter.NewIDs(0, 0).Next(deadletter.RowsOf(rec).Content(0))
	return deadletter.Letter{Block: n, ID: id, Column: "text", Error: "no", Origin: deadletter.Origin{Live: true, Epoch: epoch, Seq: seq}, Source: rec}
}

func mustLetters(t testing.TB, c *queue.Conn, maxBytes int64) *queue.DeadLetters {
	t.Helper()
	d, err := c.DeadLetters(testContext(t), "pipe", "warehouse", maxBytes)
	must(t, err)
	return d
}

// stored returns the letters of a range as texts, in order.
func stored(t testing.TB, d *queue.DeadLetters, r block.Range) []string {
	t.Helper()
	var all []string
	must(t, d.Each(testContext(t), r, func(l queue.StoredLetter) error {
		if l.Time.IsZero() || l.Error != "no" || l.Column != "text" {
			t.Errorf("%+v", l)
		}
		all = append(all, fmt.Sprintf("%d %s", l.Block, l.Source.Column(0).(*array.String).Value(0)))
		return nil
	}))
	return all
}

func wantStored(t testing.TB, d *queue.DeadLetters, r block.Range, want ...string) {
	t.Helper()
	if got := stored(t, d, r); !slices.Equal(got, want) {
		t.Errorf("the letters of %v are %v, want %v", r, got, want)
	}
}

var everyBlock = block.Range{End: block.Max}

// TestDeadLetters are there once, however often they are put, in the order of blocks, and
// of one sink alone.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	c := mustConn(t)
	d := mustLetters(t, c, 1<<20)
	wantStored(t, d, everyBlock)
	other, err := c.DeadLetters(testContext(t), "pipe", "lake", 1<<20)
	must(t, err)
	must(t, other.Put(testContext(t), []deadletter.Letter{letter(t, 10, 1, 1, "other")}))
	for range 3 {
		must(t, d.Put(testContext(t), []deadletter.Letter{
			letter(t, 100, 1, 7, "a"), letter(t, 9, 1, 3, "b"), letter(t, 20, 1, 5, "c"), letter(t, 9, 1, 3, "a"),
		}))
	}
	got := stored(t, d, everyBlock)
	slices.Sort(got[:2]) // in a block by their ids
	if want := []string{"9 a", "9 b", "20 c", "100 a"}; !slices.Equal(got, want) {
		t.Errorf("the letters are %v, want %v", got, want)
	}
	wantStored(t, d, block.Range{Start: 20, End: 100}, "20 c")
	stop := errors.New("enough")
	if err := d.Each(testContext(t), everyBlock, func(queue.StoredLetter) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}

	n, err := d.Drop(testContext(t), block.Range{Start: 10, End: 100})
	if err != nil || n != 1 {
		t.Errorf("%d dropped, %v", n, err)
	}
	n, err = d.Drop(testContext(t), everyBlock)
	if err != nil || n != 3 {
		t.Errorf("%d dropped, %v", n, err)
	}
	wantStored(t, d, everyBlock)
	wantStored(t, other, everyBlock, "10 other")
}

// TestARemovedLetterDoesNotCount longer than the message is there that has removed it.
func TestARemovedLetterDoesNotCount(t *testing.T) {
	t.Parallel()
	c := mustConn(t)
	d := mustLetters(t, c, 1<<20)
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 9, 1, 3, "stays"), letter(t, 10, 1, 5, "goes"), letter(t, 11, 1, 6, "goes")}))
	must(t, d.TakeBack(testContext(t), 10, 2, 1))
	limit := time.Now().Add(10 * time.Second)
	for n := uint64(3); n != 1; n = mustLetters(t, c, 0).Count() {
		if time.Now().After(limit) {
			t.Fatalf("%d letters count, want 1", n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	wantStored(t, d, everyBlock, "9 stays")
}

// TestTakeBack removes what is older than the change, and nothing else.
func TestTakeBack(t *testing.T) {
	t.Parallel()
	d := mustLetters(t, mustConn(t), 1<<20)
	must(t, d.Put(testContext(t), []deadletter.Letter{
		letter(t, 9, 2, 50, "below"), letter(t, 10, 2, 50, "older"), letter(t, 11, 1, 900, "of an earlier epoch"),
		letter(t, 12, 2, 61, "newer"), letter(t, 13, 3, 1, "of a later epoch"),
	}))
	history := letter(t, 14, 2, 61, "of history")
	history.Live = false
	must(t, d.Put(testContext(t), []deadletter.Letter{history}))
	for range 2 {
		must(t, d.TakeBack(testContext(t), 10, 2, 60))
		wantStored(t, d, everyBlock, "9 below", "12 newer", "13 of a later epoch")
	}
	// What was removed may come again.
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 10, 2, 70, "older")}))
	must(t, d.TakeBack(testContext(t), 10, 2, 60))
	wantStored(t, d, everyBlock, "9 below", "10 older", "12 newer", "13 of a later epoch")
}

// TestDeadLettersAreFull: nothing is lost and nothing is overwritten; what is removed makes
// room, and so does a larger bound.
func TestDeadLettersAreFull(t *testing.T) {
	t.Parallel()
	c := mustConn(t)
	d := mustLetters(t, c, 64<<10)
	var full error
	var want []string
	next := block.Number(0)
	for full == nil && next < 1000 {
		full = d.Put(testContext(t), []deadletter.Letter{letter(t, next, 1, 1, "row")})
		if full == nil {
			want = append(want, fmt.Sprintf("%d row", next))
			next++
		}
	}
	if !errors.Is(full, queue.ErrDeadLettersFull) || fault.Of(full) != fault.ClassLater || !strings.Contains(full.Error(), "64 KiB") {
		t.Fatalf("after %d letters: %v", next, full)
	}
	wantStored(t, d, everyBlock, want...)
	// One that is there may be put again, and a reorg still removes some.
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 3, 1, 1, "row")}))
	must(t, d.TakeBack(testContext(t), next-2, 1, 2))
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, next, 1, 1, "row")}))
	wantStored(t, d, block.Range{Start: next - 2, End: next + 1}, fmt.Sprintf("%d row", next))
	d = mustLetters(t, c, 1<<20)
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 5000, 1, 1, "row")}))
	wantStored(t, d, block.Range{Start: 5000, End: 5001}, "5000 row")
}

// TestALetterThatIsTooLarge is an error that says what to raise.
func TestALetterThatIsTooLarge(t *testing.T) {
	t.Parallel()
	c := mustOpen(t, queue.Config{URL: natsServer(t, filepath.Join(t.TempDir(), "store"), 1<<30).ClientURL()})
	d := mustLetters(t, c, 1<<20)
	err := d.Put(testContext(t), []deadletter.Letter{letter(t, 7, 1, 1, noise(c.EntryLimit()))})
	if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), "raise max_payload of the NATS server") {
		t.Error(err)
	}
	wantStored(t, d, everyBlock)
}

// noise is a text that no codec makes much smaller.
func noise(size int) string {
	var b strings.Builder
	for seed := uint64(1); b.Len() < size; {
		seed = seed*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%c", 33+(seed>>33)%90)
	}
	return b.String()
}

// TestWhatIsNoLetter among the letters is an error, until it is dropped.
func TestWhatIsNoLetter(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	planner := mustOpen(t, queue.Config{URL: url, Role: "planner", User: "planner", Password: shipped.Password("planner")})
	mustLetters(t, planner, 1<<20)
	conn := mustOpen(t, queue.Config{URL: url, Role: "sink-warehouse", User: "sink-warehouse", Password: shipped.Password("sink-warehouse"), MustExist: true})
	d := mustLetters(t, conn, 1<<20)
	must(t, d.Put(testContext(t), []deadletter.Letter{letter(t, 1, 1, 1, "a"), letter(t, 5, 1, 1, "b")}))
	must(t, d.TakeBack(testContext(t), 5, 1, 2))
	sink := dialRaw(t, url, shipped, "sink-warehouse")
	_, err := sink.Request("ampipe.dead.pipe.warehouse.17.x", []byte("hello"), patience)
	must(t, err)
	err = d.Each(testContext(t), everyBlock, func(queue.StoredLetter) error { return nil })
	if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), "ampipe.dead.pipe.warehouse.17.x") {
		t.Error(err)
	}
	wantStored(t, d, block.Range{End: 17}, "1 a")
	n, err := mustLetters(t, planner, 1<<20).Drop(testContext(t), block.Closed(17, 17))
	if err != nil || n != 1 {
		t.Errorf("%d dropped, %v", n, err)
	}
	wantStored(t, d, everyBlock, "1 a")
}

// TestDeadLettersNeedAPlanner, which makes their stream.
func TestDeadLettersNeedAPlanner(t *testing.T) {
	t.Parallel()
	s := mustServer(t, queue.ServerConfig{})
	c := mustOpen(t, queue.Config{Server: s, MustExist: true})
	planner := mustOpen(t, queue.Config{Server: s})
	for c, bytes := range map[*queue.Conn]int64{c: 1 << 20, planner: 0} {
		_, err := c.DeadLetters(testContext(t), "pipe", "warehouse", bytes)
		if !errors.Is(err, queue.ErrNoStream) || fault.Of(err) != fault.ClassLater {
			t.Error(err)
		}
	}
	mustLetters(t, planner, 1<<20)
	must(t, mustLetters(t, c, 1<<20).Put(testContext(t), []deadletter.Letter{letter(t, 1, 1, 1, "a")}))
	if n := mustLetters(t, c, 0).Count(); n != 1 {
		t.Errorf("%d letters are counted", n)
	}
}
