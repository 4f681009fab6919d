package amp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Metadata is what Amp attaches to every record batch (AP 2): which blocks the
// data existed for, and whether this message closes them.
type Metadata struct {
	// Ranges has at most one entry per network. It is empty when the query reads
	// no table, or when any table it reads has no data yet.
	Ranges []Range
	// Complete is true only on the empty message that closes a batch answer or a
	// microbatch of a stream.
	Complete bool
}

// Range is the part of one network's chain that an answer was computed over.
type Range struct {
	Network string
	// Numbers is inclusive on the wire and half-open here. It is empty when the
	// tables of a batch query have no blocks in common (an "inverted" range).
	Numbers block.Range
	Hash    block.Hash // of the last block in Numbers
	Prev    block.Hash // of the block before Numbers; zero for genesis
	HasPrev bool       // whether the server named Prev; a real one always does
	// Timestamp is that of the last block, in whole seconds and UTC; zero if the
	// server did not know it. After a reorg it can go back, and in a batch over
	// several tables it may belong to another block than the last (AP 2).
	Timestamp time.Time
}

// Cursor returns the place from which a stream continues after this range (AP 3.4). It
// is meaningful only if Numbers is not empty.
func (r Range) Cursor() block.Cursor {
	return block.Cursor{Network: r.Network, Number: r.Numbers.Last(), Hash: r.Hash}
}

// maxTimestamp is the last second of the year 9999, the end of what [time.Time]
// can write as text.
const maxTimestamp = 253402300799

// ErrMetadata is the cause of every error of [ParseMetadata].
var ErrMetadata = errors.New("the server's block ranges cannot be read; " +
	"this version of Amp is not supported, so upgrade ampipe or the server")

// ParseMetadata reads the app_metadata of a message. Order of keys and unknown
// fields do not matter; a field that is missing, of the wrong type or out of
// range is an error that wraps [ErrMetadata], because rows without their ranges
// are worth nothing.
func ParseMetadata(text []byte) (Metadata, error) {
	m, err := parseMetadata(text)
	if err != nil {
		return Metadata{}, fmt.Errorf("%w: %w in %s", ErrMetadata, err, excerpt(text))
	}
	return m, nil
}

// object keeps the fields apart by their exact names; decoding into a struct
// would let encoding/json match them in any case.
type object map[string]json.RawMessage

func (o object) get(key string, to any) error {
	raw, found := o[key]
	if !found || bytes.Equal(raw, []byte("null")) {
		return fmt.Errorf("no %q", key)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%q: %w", key, err)
	}
	return nil
}

func parseMetadata(text []byte) (Metadata, error) {
	var fields object
	if err := json.Unmarshal(text, &fields); err != nil {
		return Metadata{}, err
	}
	var ranges []object
	var m Metadata
	if err := errors.Join(fields.get("ranges", &ranges), fields.get("ranges_complete", &m.Complete)); err != nil {
		return Metadata{}, err
	}
	seen := make(map[string]bool, len(ranges))
	for _, o := range ranges {
		r, err := parseRange(o)
		if err != nil {
			return Metadata{}, err
		}
		if seen[r.Network] {
			return Metadata{}, fmt.Errorf("two ranges of network %q", r.Network)
		}
		seen[r.Network] = true
		m.Ranges = append(m.Ranges, r)
	}
	return m, nil
}

func parseRange(o object) (Range, error) {
	var r Range
	var numbers object
	if err := errors.Join(o.get("network", &r.Network), o.get("numbers", &numbers), o.get("hash", &r.Hash)); err != nil {
		return Range{}, err
	}
	if r.Network == "" {
		return Range{}, errors.New(`empty "network"`)
	}
	var first, last block.Number
	if err := errors.Join(numbers.get("start", &first), numbers.get("end", &last)); err != nil {
		return Range{}, err
	}
	if max(first, last) > block.Max {
		return Range{}, fmt.Errorf("block %d is above the highest possible %d", max(first, last), block.Max)
	}
	r.Numbers = block.Closed(first, last)
	if _, r.HasPrev = o["prev_hash"]; r.HasPrev {
		if err := o.get("prev_hash", &r.Prev); err != nil {
			return Range{}, err
		}
	}
	if _, known := o["timestamp"]; known {
		var seconds uint64
		if err := o.get("timestamp", &seconds); err != nil {
			return Range{}, err
		}
		if seconds > maxTimestamp {
			return Range{}, fmt.Errorf("timestamp %d is after the year 9999", seconds)
		}
		r.Timestamp = time.Unix(int64(seconds), 0).UTC()
	}
	return r, nil
}

// MarshalJSON writes what an Amp server would send for m: compact, keys in
// alphabetical order, prev_hash always, timestamp only if it is not zero (AP 2).
// It fails for a range that the wire cannot express: one without a network, or
// an empty one that ends at block 0.
func (m Metadata) MarshalJSON() ([]byte, error) {
	type wire struct {
		Hash    block.Hash `json:"hash"`
		Network string     `json:"network"`
		Numbers struct {
			End   block.Number `json:"end"`
			Start block.Number `json:"start"`
		} `json:"numbers"`
		Prev      block.Hash `json:"prev_hash"`
		Timestamp *int64     `json:"timestamp,omitempty"`
	}
	ranges := make([]wire, len(m.Ranges))
	for i, r := range m.Ranges {
		w, seconds := &ranges[i], r.Timestamp.Unix()
		switch {
		case r.Network == "":
			return nil, errors.New("write metadata: a range needs a network")
		case r.Numbers.End == 0 || max(r.Numbers.Start, r.Numbers.Last()) > block.Max:
			return nil, fmt.Errorf("write metadata: %v has no inclusive form", r.Numbers)
		case !r.Timestamp.IsZero() && (seconds < 0 || seconds > maxTimestamp):
			return nil, fmt.Errorf("write metadata: timestamp %v is not between 1970 and 9999", r.Timestamp)
		case !r.Timestamp.IsZero():
			w.Timestamp = &seconds
		}
		w.Hash, w.Network, w.Prev = r.Hash, r.Network, r.Prev
		w.Numbers.Start, w.Numbers.End = r.Numbers.Start, r.Numbers.Last()
	}
	return json.Marshal(struct {
		Ranges   []wire `json:"ranges"`
		Complete bool   `json:"ranges_complete"`
	}{ranges, m.Complete})
}

// excerpt quotes the beginning of a text for an error.
func excerpt(text []byte) string {
	const most = 200
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "…"
	}
	return strconv.Quote(string(text))
}
