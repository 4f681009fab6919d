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

	"github.com/ampipe/ampipe/pkg/block"
)

// Config says what a chain looks like. [DefaultConfig] gives a usable one.
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

// DefaultConfig is a chain of 1,000 blocks with 200 logs and 50 transactions
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

	mu    sync.Mutex
	view  View   // what a snapshot sees now; replaced, never changed
	forks uint32 // how many forks there have been
}

// New makes the chain that config describes.
func New(config Config) (*Chain, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	c := &Chain{config: config}
	c.view = View{config: &c.config, end: config.Start + block.Number(config.Blocks), branches: []branch{{start: 0}}}
	return c, nil
}

// Config gives what the chain was made from.
func (c *Chain) Config() Config { return c.config }

// View freezes the chain as it is now.
func (c *Chain) View() View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// Grow appends blocks to the head.
func (c *Chain) Grow(blocks uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view.end += block.Number(blocks)
}

// Fork replaces the last depth blocks by as many, and appends blocks more. The
// first block of a chain is never replaced.
func (c *Chain) Fork(depth, blocks uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := uint64(c.view.end - c.config.Start); depth == 0 || depth >= have {
		return fmt.Errorf("fork %d blocks deep: the chain can replace 1 to %d", depth, max(have, 1)-1)
	}
	c.forks++
	start := c.view.end - block.Number(depth)
	kept := slices.Clone(c.view.branches)
	for kept[len(kept)-1].start >= start && len(kept) > 1 {
		kept = kept[:len(kept)-1]
	}
	c.view.branches = append(kept, branch{start: start, fork: c.forks})
	c.view.end += block.Number(blocks)
	return nil
}
