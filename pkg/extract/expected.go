package extract

import "errors"

// expected is a reason to wait that belongs to what was asked for.
type expected struct{ error }

func (e expected) Unwrap() error { return e.error }

// Expected reports whether a reason that an [Observer] was given is in order, however
// long it lasts: the chain does not have the blocks yet, or the server takes a while
// for an answer and is still within its time limits.
func Expected(reason error) bool {
	_, is := errors.AsType[expected](reason)
	return is
}
