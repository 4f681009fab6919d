package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// Loads the history of a table, prints what became of each partition, and follows the
// chain through a reorg until the context ends.
func ExampleRun() {
	// A scripted server that has blocks 0 to 7. Yours is at "grpc://localhost:1602".
	chain := amptest.NewChain(amptest.Network, amptest.Schema)
	chain.Extend(amptest.Made(block.Range{End: 8}, 0)...)
	srv := amptest.NewServer(func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return chain.Answer(q)
		}
		return batch(chain, q.SQL)
	})
	defer srv.Stop()

	// A destination in memory. Yours is postgres.Destination(), or one of your own.
	store := &memsink.Store{}
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return store.Writer(), nil })

	dir, err := os.MkdirTemp("", "ampipe-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	pipelines, err := config.Parse(filepath.Join(dir, "pipeline.yaml"), []byte(`
pipeline: hashes
source: { amp: "${AMP}", query: "SELECT _block_num, hash FROM eth_rpc.blocks" }
range: { min_block: 0, partition_size: 1, reorg_buffer: 5 }
live: { start: after-backfill }
nats: { embedded: ./nats }
log: { max_bytes: 64MiB }
extract: { workers: 1 }
sinks: [ { name: store, custom: { kind: memory } } ]
`), func(string) string { return srv.URL() })
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var reorg sync.Once
	err = pipeline.Run(ctx, pipelines, pipeline.Options{
		Destinations: []sink.Destination{memory},
		Observer: pipeline.Observer{
			Partition: func(r pipeline.Result) {
				// Also r.Seconds, r.RowsPerSec and, of a partition that has failed, r.Error.
				fmt.Printf("partition %s of blocks %v is %s: %d row, %d try\n", r.Partition, r.Blocks(), r.State, r.Rows, r.Tries)
			},
			Live: func(b pipeline.LiveBlocks) {
				if b.Undone {
					fmt.Printf("sink %s has undone blocks %v\n", b.Sink, b.Blocks)
					return
				}
				fmt.Printf("sink %s has blocks %v, block %d is %.10s…\n", b.Sink, b.Blocks, b.Blocks.Last(), b.Hash)
				reorg.Do(func() { chain.Extend(amptest.Made(block.Range{Start: 6, End: 10}, 1)...) })
				if b.Blocks.Last() == 9 {
					stop() // a service stops when it is told to
				}
			},
		},
	})
	if !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
	fmt.Println("stopped with", len(store.Rows()), "rows; another Run resumes here")

	// Output:
	// partition 0.0 of blocks [0, 1) is done: 1 row, 1 try
	// partition 1.0 of blocks [1, 2) is done: 1 row, 1 try
	// partition 2.0 of blocks [2, 3) is done: 1 row, 1 try
	// sink store has blocks [3, 8), block 7 is 0x3dd33157…
	// sink store has undone blocks [6, 8)
	// sink store has blocks [6, 10), block 9 is 0xd7b0adca…
	// stopped with 10 rows; another Run resumes here
}
