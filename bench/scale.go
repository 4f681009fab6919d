package main

import (
	"regexp"
	"time"
)

// scale is how much is measured.
type scale struct {
	pairs  int // turns of each side
	rows   int // of a measurement inside this process
	live   int // of a run of ampipe, which also starts, plans and ends
	python int // through executemany, which is slow

	stageTurns int // of a stage of the budget

	memory      [2]int // the two loads whose peaks are compared
	memoryTurns int

	partitions [2]int // the two loads whose cost for a partition is compared

	indexed    int // of a load with secondary indexes
	indexTurns int

	cached int // of a run into Redis, alone or beside others

	followed int // blocks of a live chain, one a second

	liveBlocks int // that come at once
	rateTurns  int

	settle, observed time.Duration // of a pipeline that follows a chain: until it is looked at, and how long

	slowBlocks int // that a slow source has and that are loaded
	slowSteps  int // of each series, at most
}

// rowsPerBlock is what the development server is told to make.
const rowsPerBlock = 200

var (
	full = scale{
		pairs: 5, rows: 500_000, live: 2_000_000, python: 20_000, stageTurns: 3,
		memory: [2]int{500_000, 8_000_000}, memoryTurns: 2, partitions: [2]int{10_000, 100_000},
		indexed: 2_000_000, indexTurns: 3, cached: 1_000_000, followed: 120,
		liveBlocks: 10_000, rateTurns: 3, settle: 15 * time.Second, observed: time.Minute,
		slowBlocks: 1000, slowSteps: 5,
	}
	smoke = scale{
		pairs: 1, rows: 40_000, live: 40_000, python: 2_000, stageTurns: 1,
		memory: [2]int{20_000, 40_000}, memoryTurns: 1, partitions: [2]int{200, 400},
		indexed: 40_000, indexTurns: 1, cached: 40_000, followed: 3,
		liveBlocks: 200, rateTurns: 1, settle: time.Second, observed: 2 * time.Second,
		slowBlocks: 20, slowSteps: 1,
	}
)

// most returns how many rows the source has to have.
func (s scale) most() int { return max(s.rows, s.live, s.memory[1], s.indexed, s.cached) }

// wants reports whether a measurement was asked for.
func (o options) wants(name string) bool {
	found, err := regexp.MatchString(o.only, name)
	return err != nil || found
}
