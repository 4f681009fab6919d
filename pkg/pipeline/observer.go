package pipeline

import (
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Observer is told what a run does, for programs that run pipelines themselves. A function
// that is nil is not called. The others are called one at a time, from several goroutines,
// also with several pipelines, and not any more once the run has returned. The work waits
// for them: one that takes long makes the run slow, and loses nothing.
//
// They tell of what this process does, as it does it. What another process of the pipeline
// does is not heard of, and what was done just before a crash may not have been told: the
// state of a pipeline is what `ampipe status` reads, and what its destinations hold.
type Observer struct {
	// Partition is called when all blocks of a partition are in the log, or could not be
	// read. The results of a run need not be those that were planned: workers split
	// partitions between them.
	Partition func(Result)

	// Live is called when a destination has committed live blocks, or has undone them. The
	// calls for a sink are in the order of its commits.
	Live func(LiveBlocks)
}

// LiveBlocks are blocks of the live chain that a destination holds now, or no longer.
type LiveBlocks struct {
	Pipeline, Sink string
	Blocks         block.Range // mostly one; several if the chain was ahead

	// Undone says that the destination holds none of Blocks any more. They have left the
	// chain, or it is not known whether they have, and what belongs there comes next: live,
	// or as history.
	Undone bool

	Hash block.Hash // of the last of Blocks; zero if they are undone
	Seen time.Time  // when the server's word of Blocks arrived; zero: unknown, or they are undone
}

// serial returns an observer without a nil function that calls those of o one at a time.
func (o Observer) serial() Observer {
	var mu sync.Mutex
	return Observer{Partition: serial(&mu, o.Partition), Live: serial(&mu, o.Live)}
}

func serial[T any](mu *sync.Mutex, call func(T)) func(T) {
	if call == nil {
		return func(T) {}
	}
	return func(what T) {
		mu.Lock()
		defer mu.Unlock()
		call(what)
	}
}
