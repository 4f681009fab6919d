// Package arrowfmt formats the values of Arrow arrays as text and as JSON.
//
// The functions that bind an array look at its type once and return a closure over its
// memory, which then appends value after value without an allocation of its own. The
// closures may be called concurrently; they read the array, which must not be released
// before they have been used for the last time.
//
// What destinations write differently on purpose is a bit of [Options]. What a
// destination cannot store it refuses itself: [Checks] walks nested values for it.
// Unions and run-end encoded arrays have no text here; no destination takes them.
package arrowfmt
