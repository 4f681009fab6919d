package sinktest

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/freeport"
)

// FreePort returns a loopback port on which nothing listens, for a server that a test is
// about to start. No other test is given it until this one ends.
func FreePort(t testing.TB) int {
	t.Helper()
	return freeport.Take(t)
}
