package amptest

import (
	"google.golang.org/grpc/codes"
)

// Fate is what becomes of one query. The zero value, like [Pass], lets it be
// answered as scripted.
type Fate struct {
	refuse  error
	delay   <-chan struct{}
	instead *Answer
	after   int // messages of DoGet before act
	act     func(*getting) (goOn bool, err error)
	struck  chan<- struct{}
}

// Telling returns the same fate, and closes the channel when it strikes DoGet.
func (f Fate) Telling(struck chan<- struct{}) Fate {
	f.struck = struck
	return f
}

// Pass lets the query be answered as scripted.
func Pass() Fate { return Fate{} }

// Refuse answers GetFlightInfo with a status.
func Refuse(code codes.Code, message string) Fate { return Fate{refuse: Status(code, message)} }

// Delay holds GetFlightInfo back until the channel is closed or the client leaves.
func Delay(until <-chan struct{}) Fate { return Fate{delay: until} }

// Instead answers the query with another answer.
func Instead(a Answer) Fate { return Fate{instead: &a} }

// Of returns the same fate, but of another answer, as [Instead] does.
func (f Fate) Of(a Answer) Fate {
	f.instead = &a
	return f
}

// FailAfter ends DoGet with a status after n messages, of which the schema is the
// first.
func FailAfter(n int, code codes.Code, message string) Fate {
	return Fate{after: n, act: func(*getting) (bool, error) { return false, Status(code, message) }}
}

// EndAfter ends DoGet with OK after n messages.
func EndAfter(n int) Fate {
	return Fate{after: n, act: func(*getting) (bool, error) { return false, nil }}
}

// CutAfter breaks the connection after n messages. What the client had not
// received by then is lost, so it sees at most n.
func CutAfter(n int) Fate {
	return Fate{after: n, act: func(g *getting) (bool, error) { return false, g.cut() }}
}

// HoldAfter goes silent after n messages until the channel is closed, or, if it is
// nil, until the client leaves.
func HoldAfter(n int, until <-chan struct{}) Fate {
	return Fate{after: n, act: func(g *getting) (bool, error) {
		err := g.wait(until)
		return err == nil, err
	}}
}

// OversizeAfter sends, after n messages, one of more than so many bytes, and continues.
func OversizeAfter(n, bytes int) Fate {
	return Fate{after: n, act: func(g *getting) (bool, error) { return true, g.sendOversize(bytes) }}
}
