package amp_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// Keeps a table equal to the chain through a reorg, stops, and resumes.
func ExampleClient_Follow() {
	// A scripted server that has blocks 0 to 4. Once they are sent, a reorg replaces
	// blocks 3 and 4 and adds block 5.
	chain := amptest.NewChain(amptest.Network, amptest.Schema)
	chain.Extend(amptest.Made(block.Range{End: 5}, 0)...)
	var reorg sync.Once
	chain.OnIdle(func() {
		reorg.Do(func() { chain.Extend(amptest.Made(block.Range{Start: 3, End: 6}, 1)...) })
	})
	srv := amptest.NewServer(chain.Answer)
	defer srv.Stop()

	ctx := context.Background()
	client, err := amp.Open(ctx, amp.Config{URL: srv.URL()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// What a program stores, both in one transaction: the rows, and the last few hundred
	// blocks up to which they were complete.
	table := map[block.Number]string{}
	var cursors []block.Cursor

	undo := func(from block.Number) {
		maps.DeleteFunc(table, func(n block.Number, _ string) bool { return n >= from })
		cursors = slices.DeleteFunc(cursors, func(c block.Cursor) bool { return c.Number >= from })
	}
	follow := func(until block.Number) {
		// Rows after the last cursor are of a range that was not completed: they come again.
		var next block.Number
		if len(cursors) > 0 {
			next = cursors[len(cursors)-1].Number + 1
		}
		undo(next)
		for event, err := range client.Follow(ctx, "SELECT _block_num, hash FROM eth_rpc.blocks", amp.FollowOptions{Resume: cursors}) {
			if err != nil {
				log.Fatal(err) // Follow itself waits for what may pass, and connects again
			}
			switch e := event.(type) {
			case amp.Rows: // of blocks that are not complete yet
				numbers := e.Record.Column(0).(*array.Uint64)
				hashes := e.Record.Column(1).(*array.FixedSizeBinary)
				for i := range numbers.Len() {
					table[block.Number(numbers.Value(i))] = fmt.Sprintf("%x", hashes.Value(i)[:4])
				}
			case amp.Watermark: // every row up to here has arrived
				cursor := e.Range.Cursor()
				cursors = append(cursors, cursor)
				fmt.Printf("complete up to block %d: %d rows, block 4 is %s…\n", cursor.Number, len(table), table[4])
				if cursor.Number >= until {
					return
				}
			case amp.Undo: // nothing from here on is valid
				undo(e.From)
				if e.Base != nil {
					cursors = append(cursors, *e.Base) // what stays is complete up to here
				}
				fmt.Printf("undo from block %d, reorg %v: %d rows\n", e.From, e.Reorg, len(table))
			}
		}
	}
	follow(5)

	// The chain grows while nobody follows it.
	chain.Extend(amptest.Made(block.Range{Start: 6, End: 8}, 1)...)
	fmt.Println("resume after block", cursors[len(cursors)-1].Number)
	follow(7)

	// Output:
	// complete up to block 4: 5 rows, block 4 is 3d712e7f…
	// undo from block 3, reorg true: 3 rows
	// complete up to block 5: 6 rows, block 4 is e3a160f7…
	// resume after block 5
	// complete up to block 7: 8 rows, block 4 is e3a160f7…
}
