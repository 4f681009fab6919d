// Package memsink is a destination that lives in memory. It is the smallest
// honest implementation of [sink.Writer]: tests of other packages load into it,
// make it fail where they like, and look at what it holds.
package memsink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Store is what survives a Writer, as a database survives its clients. All
// Writers of a Store share its content; a Store is for one pipeline. Its exported
// fields are set before the first Writer is opened and not changed after.
type Store struct {
	// Key names the columns of a key; then a row of a higher block replaces one
	// of a lower block, until that block is invalidated. Empty: every row stays.
	Key []string

	// Faults is where tests make trouble.
	Faults Faults

	// Take replaces the rules, [sink.CommitState.Take], by others: broken ones show
	// that a test would notice.
	Take func(l *sink.CommitState, c sink.Change, column int) (sink.Step, error)

	// Undo replaces, likewise, what a deletion leaves of a key: given the blocks
	// that have a row of it, ascending, those that are still to have one. The
	// last is the one that shows.
	Undo func(blocks []block.Number, gone block.Range) []block.Number

	mu      sync.Mutex // of everything below
	state   sink.CommitState
	columns []string                  // of the table; nil: it does not exist
	key     []int                     // indices of the key columns
	rows    map[block.Number][]keyed  // in the order in which they came; also those that were replaced
	keys    map[string][]block.Number // the blocks that have a row of a key, ascending
}

// Faults are called, if set, at the borders of Apply and State; several may run
// at once. An error of theirs is what the method returns.
type Faults struct {
	Begin     func(context.Context, []sink.Change) error // nothing has been done yet
	Row       func(Row) error                            // this row is about to be written
	Commit    func() error                               // nothing is visible yet
	Committed func() error                               // everything is, only the caller does not know
	State     func() error                               // the state is about to be read
}

// Row is a row of the table. Values are what arrow has for JSON; nil is NULL.
type Row struct {
	Block  block.Number
	Values []any
}

// Writer returns a new Writer on the store.
func (s *Store) Writer() *Writer { return &Writer{store: s} }

// Rows returns a copy of every row of the table in ascending order of blocks;
// inside a block in the order in which they came.
func (s *Store) Rows() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Row
	for _, n := range slices.Sorted(maps.Keys(s.rows)) {
		for _, row := range s.rows[n] {
			if s.shown(row) {
				rows = append(rows, row.Row)
			}
		}
	}
	return rows
}

// CommitState returns a copy of what the store says it has.
func (s *Store) CommitState() sink.CommitState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.state.Clone()
}

// Backup is what a store held at a moment.
type Backup struct {
	state sink.CommitState
	rows  map[block.Number][]keyed
	keys  map[string][]block.Number
}

// Backup copies what the store holds.
func (s *Store) Backup() Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Backup{*s.state.Clone(), cloned(s.rows), cloned(s.keys)}
}

// Restore takes the store back to a backup of it, also under writers that are at work.
// The zero value of a backup is an empty store.
func (s *Store) Restore(b Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.rows, s.keys = *b.state.Clone(), cloned(b.rows), cloned(b.keys)
}

func cloned[K comparable, V any](lists map[K][]V) map[K][]V {
	if lists == nil {
		return nil
	}
	all := make(map[K][]V, len(lists))
	for k, list := range lists {
		all[k] = slices.Clone(list)
	}
	return all
}

// keyed is a row and its key, which is empty if the table has none.
type keyed struct {
	Row
	key string
}

// put writes a row. It replaces the one that its block has of its key. Caller
// holds mu.
func (s *Store) put(row Row) {
	if s.rows == nil {
		s.rows, s.keys = make(map[block.Number][]keyed), make(map[string][]block.Number)
	}
	key := s.keyOf(row)
	if len(s.key) > 0 {
		at, again := slices.BinarySearch(s.keys[key], row.Block)
		if again {
			s.drop(key, row.Block)
		} else {
			s.keys[key] = slices.Insert(s.keys[key], at, row.Block)
		}
	}
	s.rows[row.Block] = append(s.rows[row.Block], keyed{row, key})
}

// shown reports whether a row is the one that the table has of its key. Caller
// holds mu.
func (s *Store) shown(row keyed) bool {
	blocks := s.keys[row.key]
	return len(s.key) == 0 || blocks[len(blocks)-1] == row.Block
}

// drop removes the row that a block has of a key. Caller holds mu.
func (s *Store) drop(key string, at block.Number) {
	s.rows[at] = slices.DeleteFunc(s.rows[at], func(r keyed) bool { return r.key == key })
}

// remove deletes the rows of r and counts those that the table showed. What they
// had replaced shows again. Caller holds mu.
func (s *Store) remove(r block.Range) (n uint64) {
	touched := make(map[string]bool)
	for at, rows := range s.rows {
		if !r.Has(at) {
			continue
		}
		for _, row := range rows {
			touched[row.key] = true
			if s.shown(row) {
				n++
			}
		}
		if len(s.key) == 0 {
			delete(s.rows, at)
		}
	}
	if len(s.key) > 0 {
		for key := range touched {
			s.undo(key, r)
		}
	}
	return n
}

// undo deletes the rows that the blocks of r have of a key. Caller holds mu.
func (s *Store) undo(key string, r block.Range) {
	left := s.Undo
	if left == nil {
		left = outside
	}
	before := s.keys[key]
	after := left(slices.Clone(before), r)
	for _, at := range before {
		if !slices.Contains(after, at) {
			s.drop(key, at)
		}
	}
	s.keys[key] = after
	if len(after) == 0 {
		delete(s.keys, key)
	}
}

func outside(blocks []block.Number, gone block.Range) []block.Number {
	return slices.DeleteFunc(blocks, gone.Has)
}

// keyOf writes the values of the key columns.
func (s *Store) keyOf(row Row) string {
	var b strings.Builder
	for _, c := range s.key {
		fmt.Fprintf(&b, "%T %q\x00", row.Values[c], fmt.Sprint(row.Values[c]))
	}
	return b.String()
}
