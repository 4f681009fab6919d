package sink

import "github.com/ampipe/ampipe/pkg/block"

// KeyedDigests collects the digests of rows of which only the newest under each key
// counts: that of the highest block and, in a block, the last. It remembers a row for
// each key that may come again. It is not safe for concurrent use.
type KeyedDigests[K comparable] struct {
	windowed bool
	digests  Digests
	rows     map[K]keyedRow
	block    block.Number // of the rows, if windowed
}

type keyedRow struct {
	block block.Number
	hash  uint64
}

// NewKeyedDigests makes an empty one. If windowed, a key comes in one block only, as
// [Digester] has it.
func NewKeyedDigests[K comparable](windowed bool) *KeyedDigests[K] {
	return &KeyedDigests[K]{windowed: windowed, digests: make(Digests), rows: make(map[K]keyedRow)}
}

// Add counts a row; a windowed one takes them in ascending order of blocks.
func (d *KeyedDigests[K]) Add(n block.Number, key K, hash uint64) {
	if d.windowed && n != d.block {
		d.settle()
		d.block = n
	}
	if before, twice := d.rows[key]; !twice || before.block <= n {
		d.rows[key] = keyedRow{n, hash}
	}
}

// settle counts the rows whose keys cannot come again.
func (d *KeyedDigests[K]) settle() {
	for _, r := range d.rows {
		d.digests.Add(r.block, r.hash)
	}
	clear(d.rows)
}

// Digests returns the digests of all rows added. It is called once, at the end.
func (d *KeyedDigests[K]) Digests() Digests {
	d.settle()
	return d.digests
}
