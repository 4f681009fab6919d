package cli

import (
	"os"
	"runtime/debug"
)

// collectAt is how much garbage, in percent of what is in use, a process that
// holds only rows on their way collects before the runtime's default of 100. Rows
// are a few large buffers without pointers: marking them costs next to nothing,
// and garbage is what most of such a process's memory would be.
const collectAt = 30

// SaveMemory has the garbage collected earlier than usual, unless the user has
// set GOGC or GOMEMLIMIT.
func SaveMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(collectAt)
	}
}
