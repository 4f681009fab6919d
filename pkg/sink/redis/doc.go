// Package redis loads tables into Redis or Valkey as hashes, documents, streams,
// sets or lists. Rows, an index of them by block and the record of which blocks
// are there change in one script call for each slice of about 100 rows.
//
// The parts: target is what the sink is to write, pattern the keys, survey what
// the server has. text and document print values, slice packs them, apply.lua is
// the atomic step, apply decides on the steps, ledger reads what is committed,
// digest is the proof. docs/redis.md is the manual.
//
// In a Cluster the step is slot.lua, of one slot: spread sends rows to their slots
// (slots cuts them), home is the slot that knows what is committed. Decision 26 is
// the protocol.
package redis
