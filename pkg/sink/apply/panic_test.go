package apply_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// mustLogPanic fails unless a line at error level has the stack of a panic.
func mustLogPanic(t *testing.T, log string, doing string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"level":"error"`) && strings.Contains(line, `"stack":"goroutine`) &&
			strings.Contains(line, "panic while "+doing) && strings.Contains(line, "panic_test.go") {
			return
		}
	}
	t.Errorf("the log has no line with the stack of a panic:\n%s", log)
}

// TestPanicOfAnEntryIsAnError: the destination's code fails over the rows of one
// entry; all others of the batch are committed.
func TestPanicOfAnEntryIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 10, 10)...) // one batch
		var log bytes.Buffer
		r.loop.Logger = zerolog.New(zerolog.SyncWriter(&log))
		r.store.Faults.Begin = func(_ context.Context, changes []sink.Change) error {
			for _, c := range changes {
				if c.Range.Has(75) {
					_ = changes[len(changes)]
				}
			}
			return nil
		}
		err := r.fails()
		if !strings.Contains(err.Error(), "log entry 8 of blocks") || !strings.Contains(err.Error(), "ampipe has a bug: panic: runtime error: index out of range") {
			t.Errorf("the loop ended with %v", err)
		}
		r.wantBlocks(10, upTo(70), block.Range{Start: 80, End: 100})
		mustLogPanic(t, log.String(), "applying entries")
	})
}

// panickingAllocator panics when it is asked for the n-th time.
type panickingAllocator struct {
	arrowmemory.Allocator
	n int
}

func (p *panickingAllocator) Allocate(size int) []byte {
	p.n--
	if p.n == 0 {
		panic("nobody has thought of this")
	}
	return p.Allocator.Allocate(size)
}

func TestPanicOfADecoderIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t, entries(t, 20, 10)...)
		var log bytes.Buffer
		r.loop.Logger = zerolog.New(zerolog.SyncWriter(&log))
		r.loop.Allocator = &panickingAllocator{r.loop.Allocator, 8}
		err := r.fails()
		if !strings.Contains(err.Error(), "log entry 8: ampipe has a bug: panic: nobody has thought of this") {
			t.Errorf("the loop ended with %v", err)
		}
		mustLogPanic(t, log.String(), "decoding an entry")
	})
}

// TestPanicOfAStagingIsAnError: nobody knows what is staged then, so that nothing
// of it is committed before it has come again.
func TestPanicOfAStagingIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, g := stagingEnv(t, entries(t, 20, 10)...)
		var log bytes.Buffer
		r.loop.Logger = zerolog.New(zerolog.SyncWriter(&log))
		g.refuse = func(c sink.Change) error {
			if c.Range.Has(75) {
				g.staged = append(g.staged, sink.Change{Header: c.Header}) // half of it
				panic("nobody has thought of this")
			}
			return nil
		}
		err := r.fails()
		if !strings.Contains(err.Error(), "ampipe has a bug: panic: nobody has thought of this") {
			t.Errorf("the loop ended with %v", err)
		}
		if r.store.CommitState().Coverage.Has(75) {
			t.Error("the blocks of the entry count as committed")
		}
		mustLogPanic(t, log.String(), "applying entries")
	})
}
