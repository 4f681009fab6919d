// Package scripts is what runs on the servers.
package scripts

import _ "embed"

var (
	//go:embed rows.lua
	rows string
	//go:embed apply.lua
	apply string
	//go:embed slot.lua
	slot string

	// Rights asks the server whether the user may run commands, and runs none of them.
	// Its first line makes it a script that may write, which a server that takes no writes
	// refuses before it begins.
	//
	//go:embed rights.lua
	Rights string
)

// Apply is the step of a single server, and of the coordinator of a Cluster.
func Apply() string { return rows + apply }

// Slot is the step of a participant of a Cluster.
func Slot() string { return rows + slot }
