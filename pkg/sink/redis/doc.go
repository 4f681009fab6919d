// Package redis loads tables into Redis or Valkey as hashes, documents, streams,
// sets or lists. Rows, an index of them by block and the record of which blocks
// are there change in one script call for each slice of about 100 rows.
//
// The parts: target is what the sink is to write, pattern the keys, server and open
// inspect what the server has. text and document print values, slice packs them,
// apply.lua is the atomic step, apply decides on the steps, commitstate reads what is
// committed, digest and digest_stored verify. docs/redis.md is the manual.
//
// In a Cluster the step is slot.lua, for one slot: clustercommit sends rows to their
// slots in batches (clusterbatch, slotbatch), and the coordinator is the slot that
// records what is committed. Decision 26 is the protocol.
package redis
