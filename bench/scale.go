package main

import "regexp"

// scale is how much is measured.
type scale struct {
	pairs  int // turns of each side
	rows   int // of a measurement inside this process
	live   int // of a run of ampipe, which also starts, plans and ends
	python int // through executemany, which is slow

	stageTurns int // of a stage of the budget

	memory      [2]int // the two loads whose peaks are compared
	memoryTurns int

	followed int // blocks of a live chain, one a second
}

// rowsPerBlock is what the development server is told to make.
const rowsPerBlock = 200

var (
	full = scale{
		pairs: 5, rows: 500_000, live: 2_000_000, python: 20_000, stageTurns: 3,
		memory: [2]int{500_000, 8_000_000}, memoryTurns: 2, followed: 120,
	}
	smoke = scale{
		pairs: 1, rows: 40_000, live: 40_000, python: 2_000, stageTurns: 1,
		memory: [2]int{20_000, 40_000}, memoryTurns: 1, followed: 3,
	}
)

// most returns how many rows the source has to have.
func (s scale) most() int { return max(s.rows, s.live, s.memory[1]) }

// wants reports whether a measurement was asked for.
func (o options) wants(name string) bool {
	found, err := regexp.MatchString(o.only, name)
	return err != nil || found
}
