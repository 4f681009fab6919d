package amp_test

import (
	"context"
	"fmt"
	"log"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// Reads the rows of a range of blocks, and checks that the server has all of the blocks.
func ExampleClient_Fetch() {
	// A scripted server that has blocks 0 to 4. Yours is at "grpc://localhost:1602".
	wanted := block.Range{Start: 2, End: 5}
	chain := amptest.NewChain(amptest.Network, amptest.Schema)
	chain.Extend(amptest.Made(block.Range{End: 5}, 0)...)
	srv := amptest.NewServer(func(amptest.Query) amptest.Answer { return chain.Batch(wanted) })
	defer srv.Stop()

	ctx := context.Background()
	client, err := amp.Open(ctx, amp.Config{URL: srv.URL()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	query := fmt.Sprintf("SELECT _block_num, hash FROM eth_rpc.blocks WHERE _block_num >= %d AND _block_num < %d ORDER BY _block_num",
		wanted.Start, wanted.End)
	for m, err := range client.Fetch(ctx, query) {
		if err != nil {
			log.Fatal(err) // fault.Of(err) says whether to ask again
		}
		// Rows of blocks that the server does not have yet are missing without an error.
		if len(m.Ranges) != 1 || !m.Ranges[0].Numbers.Contains(wanted) {
			log.Fatalf("the server does not have all blocks of %v: %v", wanted, m.Ranges)
		}
		// The record is valid until the next turn of the loop, unless it is retained.
		numbers := m.Record.Column(0).(*array.Uint64)
		hashes := m.Record.Column(1).(*array.FixedSizeBinary)
		for i := range numbers.Len() {
			fmt.Printf("block %d is %x…\n", numbers.Value(i), hashes.Value(i)[:4])
		}
		if m.Complete { // the last message, which has no rows
			fmt.Println("complete; the server's head is block", m.Ranges[0].Numbers.Last())
		}
	}

	// Output:
	// block 2 is 3c1b31a5…
	// block 3 is b8059add…
	// block 4 is 3d712e7f…
	// complete; the server's head is block 4
}
