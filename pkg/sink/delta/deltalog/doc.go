// Package deltalog reads and writes the transaction log of a Delta table: the actions
// of its commits, their sum as a [Snapshot], and checkpoints of it. It knows where the
// table is stored, and nothing of its rows.
//
// "Delta: …" in a comment is the section … of the protocol, which is at
// https://github.com/delta-io/delta/blob/master/PROTOCOL.md. Tables of the reader
// version 1 and the writer version 2 are read and written, and later ones whose
// features are among those.
package deltalog
