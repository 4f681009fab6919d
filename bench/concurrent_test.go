package main

import (
	"runtime"
	"testing"
	"time"
)

// TestWhatTheProcessorAllows: a row that takes 1, 2 and 3 µs into each of three alone takes
// 6 µs into all, of which each core has a million a second.
func TestWhatTheProcessorAllows(t *testing.T) {
	const rows = 1_000_000
	one := func(cpu, took time.Duration) costly { return costly{sample{rows, took}, cpu} }
	turn := concurrentTurn{
		alone: []costly{one(time.Second, 2*time.Second), one(2*time.Second, 5*time.Second), one(3*time.Second, 4*time.Second)},
		all:   one(5*time.Second, 6*time.Second),
	}
	if got, want := turn.allowed().took, 6*time.Second/time.Duration(runtime.NumCPU()); turn.allowed().rows != rows || got != want {
		t.Errorf("allowed are %+v, want %v", turn.allowed(), want)
	}
	if turn.slowest().took != 5*time.Second {
		t.Errorf("the slowest took %v", turn.slowest().took)
	}
}
