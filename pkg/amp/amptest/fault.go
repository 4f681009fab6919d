package amptest

import (
	"google.golang.org/grpc/codes"
)

// Fault is what goes wrong with one query. The zero value, like [Pass], is none: the
// query is answered as scripted.
type Fault struct {
	refuse  error
	delay   <-chan struct{}
	instead *Answer
	after   int // messages of DoGet before act
	act     func(*getting) error
	reached chan<- struct{}
}

// Notify returns the same fault, and closes the channel when it is met in DoGet.
func (f Fault) Notify(reached chan<- struct{}) Fault {
	f.reached = reached
	return f
}

// Pass lets the query be answered as scripted.
func Pass() Fault { return Fault{} }

// Refuse answers GetFlightInfo with a status.
func Refuse(code codes.Code, message string) Fault { return Fault{refuse: Status(code, message)} }

// Delay delays GetFlightInfo until the channel is closed or the client leaves.
func Delay(until <-chan struct{}) Fault { return Fault{delay: until} }

// Instead answers the query with another answer.
func Instead(a Answer) Fault { return Fault{instead: &a} }

// Of returns the same fault, but of another answer, as [Instead] does.
func (f Fault) Of(a Answer) Fault {
	f.instead = &a
	return f
}

// FailAfter ends DoGet with a status after n messages, of which the schema is the
// first.
func FailAfter(n int, code codes.Code, message string) Fault {
	return Fault{after: n, act: func(*getting) error { return Status(code, message) }}
}

// EndAfter ends DoGet with OK after n messages.
func EndAfter(n int) Fault {
	return Fault{after: n, act: func(*getting) error { return errEnd }}
}

// CutAfter breaks the connection after n messages. What the client had not
// received by then is lost, so it sees at most n.
func CutAfter(n int) Fault {
	return Fault{after: n, act: (*getting).cut}
}

// HoldAfter goes silent after n messages until the channel is closed, or, if it is
// nil, until the client leaves.
func HoldAfter(n int, until <-chan struct{}) Fault {
	return Fault{after: n, act: func(g *getting) error { return g.wait(until) }}
}

// OversizeAfter sends, after n messages, one of more than so many bytes, and continues.
func OversizeAfter(n, bytes int) Fault {
	return Fault{after: n, act: func(g *getting) error { return g.sendOversize(bytes) }}
}
