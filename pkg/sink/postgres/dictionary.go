package postgres

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// dictionary writes the values that indices stand for.
type dictionary struct {
	validity
	values cells
	index  func(row int) int
}

// throughDictionary binds a dictionary by the type of its values.
func throughDictionary(bind func(arrow.Array) cells) func(arrow.Array) cells {
	return func(arr arrow.Array) cells {
		d := arr.(*array.Dictionary)
		return &dictionary{validityOf(arr), bind(d.Dictionary()), d.GetValueIndex}
	}
}

func (c *dictionary) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	return c.values.append(dst, c.index(i))
}

// invalid asks for the values in use only: others may be anything.
func (c *dictionary) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if c.null(i) {
			continue
		}
		at := c.index(i)
		if bad, reason := c.values.invalid(at, at+1); bad >= 0 {
			return i, reason
		}
	}
	return -1, ""
}
