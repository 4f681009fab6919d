package chain

import (
	"sort"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// branch means that blocks from start on belong to a fork, up to the next branch.
type branch struct {
	start block.Number
	fork  uint32
}

// View is a chain at one moment: which blocks there are and which fork each
// belongs to. It never changes.
type View struct {
	config   *Config
	end      block.Number // exclusive
	branches []branch     // ascending; the first starts at 0
}

// Header is what links the blocks of a chain and its tables.
type Header struct {
	Number       block.Number
	Hash, Parent block.Hash
	Time         time.Time
	key          key // the seed of everything else in the block
}

// Range returns the blocks of the chain; it may be empty.
func (v View) Range() block.Range { return block.Range{Start: v.config.Start, End: v.end} }

// Until returns the chain as if block last were its head.
func (v View) Until(last block.Number) View {
	v.end = max(min(v.end, last+1), v.config.Start)
	return v
}

// Header returns the header of a block, which need not be in the range: the
// parent of the first block has one, too.
func (v View) Header(n block.Number) Header {
	h := Header{Number: n, key: v.key(n), Time: v.config.Genesis.Add(time.Duration(n) * v.config.BlockTime)}
	h.Hash = h.key.hash(saltBlock)
	if n > 0 {
		h.Parent = v.key(n - 1).hash(saltBlock)
	}
	return h
}

func (v View) key(n block.Number) key { return newKey(v.config.Seed, v.fork(n), n) }

// fork returns the fork that a block belongs to.
func (v View) fork(n block.Number) uint32 {
	i := sort.Search(len(v.branches), func(i int) bool { return v.branches[i].start > n }) - 1
	return v.branches[i].fork
}

// Transactions and Logs count the rows of a block.
func (v View) Transactions(n block.Number) uint32 {
	return v.rows(n, v.config.Transactions, 1)
}

// Logs counts the logs of a block.
func (v View) Logs(n block.Number) uint32 { return v.rows(n, v.config.Logs, 0) }

// rows returns the same on every fork, so that a fork changes hashes and not counts.
func (v View) rows(n block.Number, mean, least uint32) uint32 {
	if mean == 0 {
		return 0
	}
	return max(v.config.Skew.rows(v.config, n, mean), least)
}
