package entry

import "github.com/ampipe/ampipe/pkg/block"

// Next is the first block that has not been given out.
func (c *Cutter) Next() block.Number { return c.next }
