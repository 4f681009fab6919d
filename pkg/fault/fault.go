// Package fault classes errors by what the caller should do about them. An error is
// classed where it is understood (a driver's own package), and its class is asked for
// where a decision is made (a loop). No code in between reads its text.
package fault

import (
	"errors"
	"time"
)

// Class is what the caller should do.
type Class int

const (
	// ClassAgain is the class of every unmarked error: repeat, a bounded number
	// of times, with growing pauses.
	ClassAgain Class = iota
	// ClassLater means that the time has not come yet (the chain has not reached
	// the block, the destination is down): repeat without counting an attempt.
	ClassLater
	// ClassPermanent means that repeating cannot help.
	ClassPermanent
)

// String returns the name of the class for logs.
func (c Class) String() string {
	switch c {
	case ClassLater:
		return "later"
	case ClassPermanent:
		return "permanent"
	default:
		return "try again"
	}
}

type classed struct {
	error
	class Class
	after time.Duration
}

func (c *classed) Unwrap() error { return c.error }

// mark returns nil for nil.
func mark(err error, class Class, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &classed{err, class, after}
}

// Permanent marks err as one that repeating cannot help. It returns nil for nil.
func Permanent(err error) error { return mark(err, ClassPermanent, 0) }

// Later marks err as one that passes by itself; after is how long to wait
// before asking again. It returns nil for nil.
func Later(err error, after time.Duration) error { return mark(err, ClassLater, after) }

// Again marks err as one to repeat, whatever it was marked before. It returns nil for
// nil.
func Again(err error) error { return mark(err, ClassAgain, 0) }

// As marks err as of a class, unless that is [ClassAgain]. It returns nil for nil.
func As(class Class, err error) error {
	if class == ClassAgain {
		return err
	}
	return mark(err, class, 0)
}

// Of returns the outermost class of err; an unmarked error is [ClassAgain].
func Of(err error) Class {
	var c *classed
	if errors.As(err, &c) {
		return c.class
	}
	return ClassAgain
}

// After returns the pause that [Later] asked for, or 0.
func After(err error) time.Duration {
	var c *classed
	if errors.As(err, &c) {
		return c.after
	}
	return 0
}
