package amptest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
)

// History is a recorded stream as a [Chain]: it goes through all that the recorded
// server's chain went through, one microbatch of the recording at a time, but can
// answer cursors that were not recorded.
//
// The recording has the hash of a block only if a range begins after it or ends
// with it; other blocks have made-up hashes, which no recorded range shows.
type History struct {
	*Chain
	steps [][]Block
	done  int
	first []int // for each step the index of its first message, counting the schema
}

// History makes the recording of a stream from its beginning into a chain, still
// without blocks. The test fails if the recording contradicts itself.
func (r Recording) History(t testing.TB) *History {
	t.Helper()
	messages, err := r.Decode()
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	if len(messages) == 0 || len(messages[0].Ranges) == 0 {
		t.Fatalf("%s: not the recording of a stream", r.Name)
	}
	h := &History{Chain: NewChain(messages[0].Ranges[0].Network, messages[0].Record.Schema())}
	chain := map[block.Number]*Block{}
	recorded := map[*Block]bool{} // whose hash is not made up
	for i := 0; i < len(messages); {
		end := i
		for end < len(messages) && !messages[end].Complete {
			end++
		}
		if end == len(messages) {
			break // the recording ended in the middle of it
		}
		span := messages[i].Ranges[0]
		blocks, err := spread(span, messages[i:end+1], len(h.steps))
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		if b := chain[span.Numbers.Start-1]; b != nil { // its hash is known only now, or known already
			if recorded[b] && b.Hash != span.Prev {
				t.Fatalf("%s: block %d is %v, and %v to the range that begins after it", r.Name, b.Number, b.Hash, span.Prev)
			}
			b.Hash, recorded[b] = span.Prev, true
		}
		for n := range chain {
			if n >= span.Numbers.Start {
				delete(chain, n)
			}
		}
		for j := range blocks {
			chain[blocks[j].Number] = &blocks[j]
		}
		recorded[&blocks[len(blocks)-1]] = true
		h.steps, h.first = append(h.steps, blocks), append(h.first, i+1)
		i = end + 1
	}
	return h
}

// Again returns the same history from its start.
func (h *History) Again() *History {
	return &History{Chain: NewChain(h.network, h.schema), steps: h.steps, first: h.first}
}

// Steps returns how many microbatches were recorded.
func (h *History) Steps() int { return len(h.steps) }

// Rows returns how many rows every block has that is left after all steps.
func (h *History) Rows() map[block.Number]int64 {
	rows := map[block.Number]int64{}
	for _, blocks := range h.steps {
		maps.DeleteFunc(rows, func(n block.Number, _ int64) bool { return n >= blocks[0].Number })
		for _, b := range blocks {
			for _, rec := range b.Rows {
				rows[b.Number] += rec.NumRows()
			}
		}
	}
	return rows
}

// Reorgs returns how many of them went back.
func (h *History) Reorgs() int {
	reorgs, head := 0, block.Number(0)
	for i, blocks := range h.steps {
		if i > 0 && blocks[0].Number <= head {
			reorgs++
		}
		head = blocks[len(blocks)-1].Number
	}
	return reorgs
}

// StepOf returns the step during which a message of the recording was sent, counting
// messages, and their schema, from 0, and steps from 1.
func (h *History) StepOf(message int) int {
	step, exact := slices.BinarySearch(h.first, message)
	if exact {
		step++
	}
	return max(step, 1)
}

// Step lets the next recorded microbatch become part of the chain. It reports whether
// there was one. It must not be called by several goroutines at once.
func (h *History) Step() bool {
	if h.done == len(h.steps) {
		return false
	}
	h.done++
	h.Extend(h.steps[h.done-1]...)
	return true
}

// Done returns how many steps are done.
func (h *History) Done() int { return h.done }

// StepTo continues until so many steps are done.
func (h *History) StepTo(steps int) {
	for h.done < steps && h.Step() {
	}
}

// End returns the cursor of the last block after all steps.
func (h *History) End() block.Cursor {
	last := h.steps[len(h.steps)-1]
	b := last[len(last)-1]
	return block.Cursor{Network: h.network, Number: b.Number, Hash: b.Hash}
}

// madeUp returns the hash of a block that first came with a step and whose real hash the
// recording does not have.
func madeUp(n block.Number, step int) block.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "amptest: block %d of step %d", n, step))
}

// spread returns the blocks of a microbatch, with their rows.
func spread(span amp.Range, messages []amp.Message, step int) ([]Block, error) {
	var blocks []Block
	for n := span.Numbers.Start; n < span.Numbers.End; n++ {
		blocks = append(blocks, Block{Number: n, Hash: madeUp(n, step)})
	}
	blocks[len(blocks)-1].Hash = span.Hash
	for _, m := range messages {
		err := EachBlock(m.Record, func(n block.Number, rows arrow.RecordBatch) error {
			if !span.Numbers.Has(n) {
				return fmt.Errorf("a row of block %d in %v", n, span.Numbers)
			}
			b := &blocks[n-span.Numbers.Start]
			rows.Retain()
			b.Rows = append(b.Rows, rows)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// EachBlock cuts a record whose rows are in the order of their blocks, by the
// column _block_num, and hands each block's rows out. They are views of the record,
// valid as long as it is.
func EachBlock(record arrow.RecordBatch, use func(n block.Number, rows arrow.RecordBatch) error) error {
	columns := record.Schema().FieldIndices("_block_num")
	if len(columns) != 1 {
		return errors.New("no column _block_num")
	}
	numbers, ok := record.Column(columns[0]).(*array.Uint64)
	if !ok {
		return fmt.Errorf("_block_num is a %v", record.Column(columns[0]).DataType())
	}
	for from := 0; from < numbers.Len(); {
		to := from + 1
		for to < numbers.Len() && numbers.Value(to) == numbers.Value(from) {
			to++
		}
		rows := record.NewSlice(int64(from), int64(to))
		err := use(block.Number(numbers.Value(from)), rows)
		rows.Release()
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

// Decode reads the recorded bytes with arrow-go's own reader: every message but the
// schema. Go's collector owns the memory.
func (r Recording) Decode() ([]amp.Message, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	reader, err := flight.NewRecordReader(&playback{data: r.Data})
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	var all []amp.Message
	for reader.Next() {
		m, err := amp.ParseMetadata(reader.LatestAppMetadata())
		if err != nil {
			return nil, err
		}
		record := reader.RecordBatch()
		record.Retain()
		all = append(all, amp.Message{Record: record, Metadata: m})
	}
	return all, reader.Err()
}

// playback sends recorded messages as a call would.
type playback struct{ data []*pb.FlightData }

func (p *playback) Recv() (*pb.FlightData, error) {
	if len(p.data) == 0 {
		return nil, io.EOF
	}
	next := p.data[0]
	p.data = p.data[1:]
	return next, nil
}
