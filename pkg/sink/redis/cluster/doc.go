// Package cluster commits to a Redis Cluster, in which keys are in 16,384 slots and a
// script reaches one. Decision 26 is the reasoning.
//
// The coordinator is the slot of {<pipeline>}. It has coverage, blocks in parts and live
// lane, and no rows: what it says is committed. Every other slot with rows is a
// participant, with a state of its own: which blocks it has, their index, replaced rows.
// The fence is a number of the coordinator that every call names. A participant takes
// it over, and refuses calls with a lower one.
//
// A batch of rows is committed in two phases, one call of [scripts.Apply] or
// [scripts.Slot] an arrow:
//
//	writer                      coordinator            participants
//	│ prepare: slots, claims ──────▶│ that may have rows    │
//	│                               │                       │
//	│ rows, blocks, index ─────────────────────────────────▶│ write what is missing
//	│◀──────────────────────────────────────────── all have │ answered
//	│                               │                       │
//	│ commit: coverage, lane ──────▶│ the blocks are there  │
//
// A rollback takes blocks back: of a reorg, when the live lane or an epoch begins, and
// when another reading of a block replaces its parts.
//
//	│ fence+1, pending: blocks ────▶│ cuts its coverage, refuses everything else
//	│ void blocks, fence+1 ────────────────────────────────▶│ remove them, once
//	│ settled ─────────────────────▶│ forgets pending       │
//
// A writer may stop between any two calls. Rows without a commit are written again, which
// changes nothing, or voided by a rollback; a pending rollback is finished by the next
// writer.
//
// [Committer.Commit] takes steps one after the other (commit.go), rolls back
// (coordinator.go), and sends batches, one while the next is collected (batch.go). A
// batch is cut into slices for each slot (slices.go), packed as slot.lua reads them
// (pack.go).
package cluster
