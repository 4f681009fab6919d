package sink

import "context"

// FindingKind says what a [Finding] is about.
type FindingKind string

// What an [Examiner] finds.
const (
	Safety FindingKind = "safety" // what is loaded, or the service, is in danger
	Speed  FindingKind = "speed"  // loading is slower than it could be
	Unseen FindingKind = "unseen" // something that could not be looked at
)

// Finding is something about a destination that keeps nothing from being loaded, and that
// a person may want to change.
type Finding struct {
	Kind FindingKind `json:"kind"`
	Text string      `json:"text"`          // what it is, and what comes of it
	Fix  string      `json:"fix,omitempty"` // what to do; empty: the text says it
}

// Examiner is a [Writer] that knows more about its destination than its Warnings: what
// `ampipe doctor` asks for. Errors that Check returns, and the Warnings, are not repeated.
type Examiner interface {
	Writer

	// Examine connects and looks for what costs speed or safety. It changes nothing. The
	// schema of the table is nil if the columns of the query are not known. The Writer
	// need not be open, and is not after. An error says that it could not look.
	Examine(ctx context.Context, t Table) ([]Finding, error)
}
