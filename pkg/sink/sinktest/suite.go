// Package sinktest holds every destination to the contract of [sink.Writer].
// One call of [Run] in a destination's tests applies entries in order, out of
// order, twice, in pieces and at the same time, cancels and cuts it off in the
// middle, and compares the table with a chain that it makes itself.
package sinktest

import (
	"context"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Setup is how a destination has to write.
type Setup struct {
	Mode config.Mode
	Key  []string // columns of [Schema]; upsert only
}

// Open makes a fresh, empty destination. It removes it with t.Cleanup.
type Open func(t testing.TB, s Setup) Destination

// Destination is one table and what belongs to it.
type Destination interface {
	// Writer returns a new Writer on the destination, which the suite opens and
	// closes. Several are in use at the same time.
	Writer(t testing.TB) sink.Writer
	// Rows reads the whole table, in any order.
	Rows(ctx context.Context) ([]Row, error)
}

// Killer is a Destination that can lose its connections.
type Killer interface {
	// Kill cuts off every Writer, whatever it is doing. The destination can be
	// reached again when it returns.
	Kill(t testing.TB)
}

// Refuser is a Destination that cannot hold every value.
type Refuser interface {
	// Refused returns a row that is refused for the value of the named column.
	// The suite sets Block and Index.
	Refused() (row Row, column string)
}

// Obstructor is a Destination that can be kept from taking one row.
type Obstructor interface {
	// Obstruct makes every call that writes this row fail, until lift is called, for a
	// reason that the Writer cannot know before it has begun to write. lift is nil if
	// the destination cannot be set up so.
	Obstruct(t testing.TB, row Row) (lift func())
}

// Row is a row of the suite's table; see [Schema].
type Row struct {
	Key   string
	Block block.Number
	Index int32
	Value int64
}

type testCase struct {
	name string
	with func(b *env, w sink.Writer) // w is open; there may be more
}

func (c testCase) run(b *env) { c.with(b, b.writer()) }

// byBlock is the usual key of chain data. With it, and in append mode, every row
// of the chain stays.
var byBlock = []string{"block_num", "log_index"}

var (
	byBlockCases = slices.Concat(historyCases, partCases, faultCases, digestCases, liveCases, removalCases, pruneCases,
		rejoinCases, randomCases)
	byKeyCases = slices.Concat(upsertCases, digestCases, liveCases, undoCases, removalCases, removalKeyCases, rejoinCases, randomKeyCases)
)

// suite is the cases of one way to write.
type suite struct {
	name   string
	setup  Setup
	random []testCase // some of cases
	cases  []testCase
}

var (
	appended     = suite{"append", Setup{Mode: config.Append}, randomCases, byBlockCases}
	ofBlocks     = []suite{appended, {"upsert", Setup{Mode: config.Upsert, Key: byBlock}, randomCases, byBlockCases}}
	acrossBlocks = suite{"upsert across blocks", Setup{Mode: config.Upsert, Key: []string{"key"}}, randomKeyCases, byKeyCases}
	suites       = append(slices.Clone(ofBlocks), acrossBlocks)
)

func (s suite) run(t *testing.T, open Open) {
	for _, c := range s.cases {
		t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, open, s.setup)) })
	}
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) { s.run(t, open) })
	}
}

// RunByBlock is [Run] without the cases in which rows replace those of other blocks: for
// a destination that writes those as another one does that [Run] is called for.
func RunByBlock(t *testing.T, open Open) {
	for _, s := range ofBlocks {
		t.Run(s.name, func(t *testing.T) { s.run(t, open) })
	}
}

// RunAppend is [Run] for a destination that has no keys: all of its cases in
// append mode, with the same demands.
func RunAppend(t *testing.T, open Open) { appended.run(t, open) }

// RunRandom is the random cases of [Run] alone, with the same demands: for Writers
// that are made to fail on the way, which other cases would count as wrong.
func RunRandom(t *testing.T, open Open) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			for _, c := range s.random {
				c.run(newEnv(t, open, s.setup))
			}
		})
	}
}
