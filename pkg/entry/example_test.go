package entry_test

import (
	"fmt"
	"log"
	"maps"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// message is what a subscription to the log delivers: Headers and Data of a message with
// the subject "ampipe.log.<pipeline>.live" in NATS.
type message struct {
	header map[string][]string
	data   []byte
}

// Reads the live lane of a pipeline's log into a table of one's own, through a reorg. The
// lane of a partition has data alone, of blocks that are complete.
func Example() {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "name", Type: arrow.BinaryTypes.String},
	}, nil)
	lane := []message{
		rows(schema, block.Closed(0, 2), "a", true),
		rows(schema, block.Closed(3, 5), "a", false),
		mark(entry.Invalidate, block.Closed(2, 5)), // blocks 2 to 5 have left the chain
		rows(schema, block.Closed(2, 4), "b", false),
		mark(entry.Watermark, block.Closed(2, 4)),
	}

	table := map[uint64]string{}
	decoder := entry.NewDecoder(nil)
	for _, m := range lane {
		// Parse checks the headers. An error is no reason to skip a message: it is damaged,
		// or entry.Newer(err) says that it needs a later version of this package.
		e, err := entry.Parse(m.header, m.data)
		if err != nil {
			log.Fatal(err)
		}
		switch e.Kind {
		case entry.Data: // rows of all its blocks, which may be none
			_, records, err := decoder.Decode(e)
			if err != nil {
				log.Fatal(err)
			}
			for _, record := range records {
				numbers := record.Column(0).(*array.Uint64)
				names := record.Column(1).(*array.String)
				for i := range numbers.Len() {
					table[numbers.Value(i)] = names.Value(i)
				}
				record.Release()
			}
			fmt.Printf("blocks %d to %d: %d rows\n", e.Range.Start, e.Range.Last(), e.Rows)
		case entry.Invalidate: // nothing from here on is valid
			maps.DeleteFunc(table, func(n uint64, _ string) bool { return n >= uint64(e.Range.Start) })
			fmt.Printf("undo from block %d: %v\n", e.Range.Start, table)
		}
		if e.Closes() { // by a watermark, or with the rows
			fmt.Printf("complete up to block %d: %v\n", e.Range.Last(), table)
		}
	}

	// Output:
	// blocks 0 to 2: 3 rows
	// complete up to block 2: map[0:a0 1:a1 2:a2]
	// blocks 3 to 5: 3 rows
	// undo from block 2: map[0:a0 1:a1]
	// blocks 2 to 4: 3 rows
	// complete up to block 4: map[0:a0 1:a1 2:b2 3:b3 4:b4]
}

// rows is an entry with a row for each of its blocks, as an extractor writes it: one that
// has all rows of what has arrived is also complete.
func rows(schema *arrow.Schema, r block.Range, name string, complete bool) message {
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer build.Release()
	for n := r.Start; n < r.End; n++ {
		build.Field(0).(*array.Uint64Builder).Append(uint64(n))
		build.Field(1).(*array.StringBuilder).Append(fmt.Sprint(name, n))
	}
	record := build.NewRecordBatch()
	defer record.Release()
	encoder, err := entry.NewEncoder(schema, entry.S2, 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	e, err := encoder.Encode(entry.Header{Epoch: 1, Network: "mainnet", Range: r, Complete: complete}, []arrow.RecordBatch{record})
	if err != nil {
		log.Fatal(err)
	}
	return message{e.Map(), e.Payload}
}

// mark is an entry without rows.
func mark(kind entry.Kind, r block.Range) message {
	return message{entry.Header{Kind: kind, Epoch: 1, Network: "mainnet", Range: r}.Map(), nil}
}
