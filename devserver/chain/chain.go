// Package chain makes up an EVM chain: blocks, transactions and logs that are a
// pure function of a seed, a fork and a block number, so that nothing is stored
// and any range can be produced again, while hashes link as on a real chain.
package chain

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
)

// Config describes a chain. [DefaultConfig] is a usable one.
type Config struct {
	Network string
	Seed    uint64
	// Start is the first block, Blocks how many there are at first.
	Start  block.Number
	Blocks uint64
	// Transactions and Logs are the mean rows per block.
	Transactions, Logs uint32
	Skew               Skew
	// Genesis is the time of block 0, BlockTime the step between two blocks.
	Genesis   time.Time
	BlockTime time.Duration
}

// DefaultConfig returns a chain of 1,000 blocks with 200 logs and 50 transactions
// each, twelve seconds apart.
func DefaultConfig() Config {
	return Config{
		Network: "anvil", Seed: 1, Blocks: 1000, Transactions: 50, Logs: 200,
		Genesis: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), BlockTime: 12 * time.Second,
	}
}

// Validate joins every complaint about a configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Network == "" {
		errs = append(errs, errors.New("the chain needs a network name"))
	}
	if c.Logs > 0 && c.Transactions == 0 {
		errs = append(errs, errors.New("logs need transactions: ask for at least one per block"))
	}
	if c.BlockTime <= 0 {
		errs = append(errs, errors.New("the block time must be positive"))
	}
	if uint64(c.Start) > uint64(block.Max)-c.Blocks {
		errs = append(errs, fmt.Errorf("the last block would be above %d", block.Max))
	}
	if last := float64(c.Start) + float64(c.Blocks); last*float64(c.BlockTime) > math.MaxInt64/2 {
		errs = append(errs, errors.New("the last block would lie centuries ahead: lower the block time"))
	}
	return errors.Join(append(errs, c.Skew.validate())...)
}

// Chain is a chain that grows and forks. It is safe for concurrent use.
type Chain struct {
	config Config

	mu      sync.Mutex
	view    View          // what a snapshot sees now; replaced, never changed
	changed chan struct{} // closed when view is replaced
	forks   []fork        // every fork there has been, by its number
	orphans []orphan      // what has left the chain and is not forgotten
}

// New makes the chain that config describes.
func New(config Config) (*Chain, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	c := &Chain{config: config, changed: make(chan struct{}), forks: []fork{{}}}
	c.view = View{config: &c.config, end: config.Start + block.Number(config.Blocks), branches: []branch{{start: 0}}}
	return c, nil
}

// Config returns what the chain was made from.
func (c *Chain) Config() Config { return c.config }

// View freezes the chain as it is now.
func (c *Chain) View() View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// Now implements [table.Chain].
func (c *Chain) Now() (table.Moment, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return moment{View: c.view, forks: c.forks, orphans: c.orphans}, c.changed
}

// replace makes view what is seen from now on; the caller holds the lock.
func (c *Chain) replace(view View) {
	c.view = view
	close(c.changed)
	c.changed = make(chan struct{})
}

// Grow appends blocks to the head.
func (c *Chain) Grow(blocks uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	view := c.view
	view.end += block.Number(blocks)
	c.replace(view)
}

// Fork replaces the last depth blocks by as many, and appends blocks more. The
// first block of a chain is never replaced. The blocks replaced stay known until
// [Chain.Forget].
func (c *Chain) Fork(depth, blocks uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	view := c.view
	if have := uint64(view.end - c.config.Start); depth == 0 || depth >= have {
		return fmt.Errorf("fork %d blocks deep: the chain can replace 1 to %d", depth, max(have, 1)-1)
	}
	start := view.end - block.Number(depth)
	c.orphans = append(c.orphans, view.from(start)...)
	c.forks = append(c.forks, fork{start: start, parent: view.fork(start - 1)})
	kept := slices.Clone(view.branches)
	for kept[len(kept)-1].start >= start && len(kept) > 1 {
		kept = kept[:len(kept)-1]
	}
	view.branches = append(kept, branch{start: start, fork: uint32(len(c.forks) - 1)})
	view.end += block.Number(blocks)
	c.replace(view)
	return nil
}

// Forget drops what is known of blocks that have left the chain, as an
// administrator does who prunes a real server: a cursor on one of them is then
// unknown (AP 3.5).
func (c *Chain) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orphans = nil
}
