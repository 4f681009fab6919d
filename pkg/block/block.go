// Package block has the types that every other package shares: block numbers, hashes,
// ranges of blocks, sets of ranges and the cursor of a chain.
//
// Everything inside ampipe is half-open, [start, end). The wire (AP 2) and the
// headers of log entries speak of inclusive ranges; [Closed] and [Range.Last]
// are the only places that convert.
package block

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Number is the number of a block. Values above [Max] are refused, so that a
// number, and the exclusive end of a range, always fit a signed 64-bit integer.
type Number uint64

// Max is the highest block number that ampipe handles.
const Max Number = 1<<63 - 2

// Hash is the hash of a block. The zero value means "not known" and, as the
// previous hash of a range that starts at block 0, "genesis" (AP 3.6, rule 1).
type Hash [32]byte

var errHash = errors.New("a block hash is 64 hex digits")

// ParseHash reads 64 hex digits of any case, with or without a leading 0x.
func ParseHash(s string) (Hash, error) {
	var h Hash
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	if len(digits) != 2*len(h) {
		return Hash{}, fmt.Errorf("parse hash %q: %w", s, errHash)
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil {
		return Hash{}, fmt.Errorf("parse hash %q: %w", s, errHash)
	}
	return h, nil
}

// String returns 0x and 64 lower-case digits, the form the wire uses.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// IsZero reports whether every byte is zero.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText returns the same as [Hash.String], so that a Hash is a string in JSON.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what [ParseHash] reads.
func (h *Hash) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHash(string(b))
	return err
}

// Cursor is a place in a chain: the last complete block that a stream has
// delivered, from which it can be resumed (AP 3.4).
type Cursor struct {
	Network string `json:"network"`
	Number  Number `json:"number"`
	Hash    Hash   `json:"hash"`
}

// String returns the block, with enough of its hash to distinguish two forks.
func (c Cursor) String() string {
	return fmt.Sprintf("%s block %d (%.10s…)", c.Network, c.Number, c.Hash)
}
