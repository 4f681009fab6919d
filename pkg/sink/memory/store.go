// Package memory is a destination that lives in memory. It is the smallest
// honest implementation of [sink.Writer]: tests of other packages load into it,
// make it fail where they like, and look at what it holds.
package memory

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
	// of a lower block. Empty: every row is kept.
	Key []string

	// Faults is where tests make trouble.
	Faults Faults

	// Take replaces the rules, [sink.Ledger.Take], by others: broken ones show
	// that a test would notice.
	Take func(l *sink.Ledger, c sink.Change, column int) (sink.Step, error)

	mu      sync.Mutex // of everything below
	ledger  sink.Ledger
	columns []string                 // of the table; nil: it does not exist
	key     []int                    // indices of the key columns
	rows    map[block.Number][]keyed // in the order in which they came
	keys    map[string]block.Number  // where the row of a key is
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

// Row is a row of the table. Values are what arrow gives for JSON; nil is NULL.
type Row struct {
	Block  block.Number
	Values []any
}

// Writer gives a new Writer on the store.
func (s *Store) Writer() *Writer { return &Writer{store: s} }

// Rows gives a copy of every row in ascending order of blocks; inside a block
// in the order in which they came.
func (s *Store) Rows() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Row
	for _, n := range slices.Sorted(maps.Keys(s.rows)) {
		for _, row := range s.rows[n] {
			rows = append(rows, row.Row)
		}
	}
	return rows
}

// Ledger gives a copy of what the store says it has.
func (s *Store) Ledger() sink.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.ledger.Clone()
}

// keyed is a row and its key, which is empty if the table has none.
type keyed struct {
	Row
	key string
}

// put writes a row, unless one of a higher block has its key. Caller holds mu.
func (s *Store) put(row Row) {
	if s.rows == nil {
		s.rows, s.keys = make(map[block.Number][]keyed), make(map[string]block.Number)
	}
	key := s.keyOf(row)
	if len(s.key) > 0 {
		if at, ok := s.keys[key]; ok {
			if at > row.Block {
				return
			}
			s.rows[at] = slices.DeleteFunc(s.rows[at], func(r keyed) bool { return r.key == key })
		}
		s.keys[key] = row.Block
	}
	s.rows[row.Block] = append(s.rows[row.Block], keyed{row, key})
}

// remove deletes the rows of r and counts them. Caller holds mu.
func (s *Store) remove(r block.Range) (n uint64) {
	for at, rows := range s.rows {
		if !r.Has(at) {
			continue
		}
		n += uint64(len(rows))
		for _, row := range rows {
			delete(s.keys, row.key)
		}
		delete(s.rows, at)
	}
	return n
}

// keyOf writes the values of the key columns.
func (s *Store) keyOf(row Row) string {
	var b strings.Builder
	for _, c := range s.key {
		fmt.Fprintf(&b, "%T %q\x00", row.Values[c], fmt.Sprint(row.Values[c]))
	}
	return b.String()
}
