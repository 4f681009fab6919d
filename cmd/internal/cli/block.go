package cli

import (
	"strconv"

	"github.com/ampipe/ampipe/pkg/block"
)

// Block is a flag with a block number, see [block.ParseNumber].
type Block struct{ Given *block.Number } // nil: the flag was not set

// String returns the number.
func (b *Block) String() string {
	if b.Given == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*b.Given), 10)
}

// Type returns what the help calls the value.
func (b *Block) Type() string { return "block" }

// Set reads the number.
func (b *Block) Set(text string) error {
	n, err := block.ParseNumber(text)
	b.Given = &n
	return err
}
