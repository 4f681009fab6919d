// Package faults makes the development server misbehave on request:
// switches that a test or a person sets while it runs, and the counters that
// show what it has done.
package faults

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"google.golang.org/grpc/codes"
)

// Switches are what goes wrong. The zero value is a server that behaves.
type Switches struct {
	// Latency is added to every call before anything is done.
	Latency Duration `json:"latency"`
	// Bandwidth limits each stream to so many bytes a second; 0 is no limit.
	Bandwidth int64 `json:"bandwidth"`
	// DropAfter cuts the TCP connection of a stream once so many record batches
	// are on the wire; 0 never does. DropEvery picks every k-th stream; 0 and 1
	// mean all of them.
	DropAfter int `json:"drop_after"`
	DropEvery int `json:"drop_every"`
	// Status answers calls with a status; nil does not.
	Status *Status `json:"status"`
	// Head hides the blocks above it, in every table; nil hides none.
	Head *block.Number `json:"head"`
	// Lag hides the last blocks of the tables named, so many of each, as if the
	// table were slow to follow the chain; its first block is never hidden.
	Lag map[string]uint64 `json:"lag"`
	// Slow is how long a microbatch of a streaming query executes before its first
	// row.
	Slow Duration `json:"slow"`
	// Shuffle mixes the rows of queries without ORDER BY, Unsorted those of all.
	Shuffle  bool `json:"shuffle"`
	Unsorted bool `json:"unsorted"`
	// Oversize joins batches into messages of at least so many bytes, which are
	// not split; 0 leaves messages as they are.
	Oversize int64 `json:"oversize"`
	// HoldBack sends no row of an ordered query before all have been read, as a
	// real server does where it has to sort (AP 4.5).
	HoldBack bool `json:"hold_back"`
	// MaxRows and MaxBlocks refuse queries over more with RESOURCE_EXHAUSTED;
	// 0 is no limit.
	MaxRows   uint64 `json:"max_rows"`
	MaxBlocks uint64 `json:"max_blocks"`
}

// Status is an answer that takes the place of a call's own.
type Status struct {
	// At is "info" or "doget".
	At   string `json:"at"`
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Times is how many calls are answered so; 0 is all of them.
	Times int `json:"times"`
	// After is how many record batches a DoGet sends first.
	After int `json:"after"`
}

// clone returns a copy that shares nothing.
func (s Switches) clone() Switches {
	if s.Status != nil {
		status := *s.Status
		s.Status = &status
	}
	if s.Head != nil {
		head := *s.Head
		s.Head = &head
	}
	s.Lag = maps.Clone(s.Lag)
	return s
}

// Validate joins every complaint about s.
func (s Switches) Validate() error {
	var errs []error
	if s.Latency < 0 || s.Slow < 0 || s.Bandwidth < 0 || s.DropAfter < 0 || s.DropEvery < 0 || s.Oversize < 0 {
		errs = append(errs, errors.New("switches cannot be negative"))
	}
	if s.Status != nil {
		if s.Status.At != "info" && s.Status.At != "doget" {
			errs = append(errs, fmt.Errorf("a status comes at info or doget, not at %q", s.Status.At))
		}
		if s.Status.Code == Code(codes.OK) {
			errs = append(errs, errors.New("a status needs a code other than OK"))
		}
		if s.Status.Times < 0 || s.Status.After < 0 {
			errs = append(errs, errors.New("times and after cannot be negative"))
		}
	}
	return errors.Join(errs...)
}

// Duration is written as text, such as "250ms".
type Duration time.Duration

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Code is a gRPC status code, written by its name, such as "UNAVAILABLE".
type Code codes.Code

// names are those of the gRPC specification, by number.
var names = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// MarshalText writes the name.
func (c Code) MarshalText() ([]byte, error) {
	if int(c) >= len(names) {
		return nil, fmt.Errorf("no gRPC code %d", c)
	}
	return []byte(names[c]), nil
}

// UnmarshalText reads a name.
func (c *Code) UnmarshalText(text []byte) error {
	code := slices.Index(names[:], string(text))
	if code < 0 {
		return fmt.Errorf("%q is not a gRPC code such as UNAVAILABLE", text)
	}
	*c = Code(code)
	return nil
}
