// Package arrowguard reads Arrow IPC messages that come from outside. It is used on both
// sides (decision 87): pkg/amp reads the schema that an Amp server announces with
// [ReadSchema] and every message of its answers with a [Reader], and pkg/entry reads the
// entries of the log with one. The Arrow library trusts what a message says about itself,
// and panics, or allocates any amount of memory, when that is wrong. A [Reader] checks
// each message before the library sees it, and the position of every value afterwards, so
// that a damaged or hostile message is an error and never more.
//
// What passes can be read by every consumer without further checks: buffers lie
// inside the message and do not overlap, offsets ascend and stay inside their
// values, indices of dictionaries, unions, runs and views exist, text is UTF-8, and a
// column without values has its one offset. Numbers may be any: those are data, for a
// destination to accept or refuse.
//
// A message costs no more memory than it has bytes, besides a few hundred bytes for
// each column of the schema: the library gets none to allocate. That rules out what
// neither Amp nor the log uses: compressed bodies, deltas of dictionaries and
// big-endian numbers are refused.
package arrowguard
