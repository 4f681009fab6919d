package sink

import (
	"context"
	"errors"
	"sync"
)

// waitsKey is the key of a *callWaits in a context.
type waitsKey struct{}

// callWaits passes on what one call of a Writer waits for, until it returns.
type callWaits struct {
	mu   sync.Mutex
	told func(error) // nil: the call has returned
}

// Waits tells the caller of a Writer what the call waits for now, such as a lock that
// another session holds, or its own next attempt; nil: it waits for nothing any more. ctx
// is that of the call. Any goroutine may call it; once the call has returned, it does
// nothing.
func Waits(ctx context.Context, reason error) {
	w, _ := ctx.Value(waitsKey{}).(*callWaits)
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told != nil {
		w.told(reason)
	}
}

// WithWaits returns the context for one call of a Writer, of which told hears what it
// [Waits] for until returned is called.
func WithWaits(ctx context.Context, told func(reason error)) (call context.Context, returned func()) {
	w := &callWaits{told: told}
	return context.WithValue(ctx, waitsKey{}, w), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = nil
	}
}

// InTurn marks what a call of a Writer waits for, or has waited for in vain: another
// transaction of ampipe that writes to the same destination. That is in order as long as the
// sink commits something now and then.
func InTurn(reason error) error { return turn{reason} }

// IsInTurn reports whether [InTurn] has marked a reason.
func IsInTurn(reason error) bool {
	_, is := errors.AsType[turn](reason)
	return is
}

type turn struct{ error }

// Unwrap leads to the reason.
func (t turn) Unwrap() error { return t.error }
