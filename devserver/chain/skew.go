package chain

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
)

// Skew means that a share of the rows lies in a share of the blocks. The zero
// value spreads rows evenly.
type Skew struct {
	Rows, Blocks float64 // 0.9 and 0.1: 90 % of the rows in 10 % of the blocks
	// Contiguous puts the heavy blocks side by side in the middle of the chain's
	// first blocks; otherwise they are scattered over all of it.
	Contiguous bool
}

// ParseSkew reads ROWS/BLOCKS or ROWS/BLOCKS/contiguous, such as 0.9/0.1.
func ParseSkew(text string) (Skew, error) {
	if text == "" {
		return Skew{}, nil
	}
	bad := fmt.Errorf("skew %q is not ROWS/BLOCKS[/contiguous], such as 0.9/0.1", text)
	rows, rest, _ := strings.Cut(text, "/")
	blocks, place, hasPlace := strings.Cut(rest, "/")
	var s Skew
	var errs [2]error
	s.Rows, errs[0] = strconv.ParseFloat(rows, 64)
	s.Blocks, errs[1] = strconv.ParseFloat(blocks, 64)
	s.Contiguous = place == "contiguous"
	if errors.Join(errs[:]...) != nil || (hasPlace && !s.Contiguous && place != "scattered") {
		return Skew{}, bad
	}
	return s, s.validate()
}

func (s Skew) even() bool { return s.Rows == 0 && s.Blocks == 0 }

func (s Skew) validate() error {
	if s.even() || (s.Rows > 0 && s.Rows < 1 && s.Blocks > 0 && s.Blocks < 1) {
		return nil
	}
	return fmt.Errorf("the shares of a skew lie between 0 and 1, not %v/%v", s.Rows, s.Blocks)
}

// rows spreads mean rows per block over the chain. Fractions are rounded up or
// down at random, so that the sum stays right.
func (s Skew) rows(c *Config, n block.Number, mean uint32) uint32 {
	if s.even() {
		return mean
	}
	k := newKey(c.Seed, 0, n).derive(saltSkew)
	share := (1 - s.Rows) / (1 - s.Blocks)
	if s.heavy(c, n, k.unit()) {
		share = s.Rows / s.Blocks
	}
	want := float64(mean) * share
	whole := uint32(want)
	if k.derive(saltSkew).unit() < want-float64(whole) {
		whole++
	}
	return whole
}

func (s Skew) heavy(c *Config, n block.Number, unit float64) bool {
	if !s.Contiguous {
		return unit < s.Blocks
	}
	width := s.Blocks * float64(c.Blocks)
	first := float64(c.Start) + (float64(c.Blocks)-width)/2
	return float64(n) >= first && float64(n) < first+width
}
