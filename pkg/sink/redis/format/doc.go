// Package format is what ampipe writes to Redis, without a connection: [Table] is what the
// sink is to write, [Pattern] its keys, [Rows] what rows become, [Packer] the arguments
// of a call of a script, [Header] what the call is to do, and [Table.Answered] reads what
// the script says.
package format
