package state

import (
	"fmt"
	"time"
)

// Pause says whether a person wants a sink to stand still. All processes of the sink watch it.
type Pause struct {
	Paused bool      `json:"paused"`
	Since  time.Time `json:"since"` // when that was asked for
}

// Reason returns why a sink that is paused stands still, and how it resumes. Everything
// that shows it says it like this.
func (p Pause) Reason(sink string) string {
	return fmt.Sprintf("paused by ampipe pause since %s UTC; run ampipe resume %s", p.Since.UTC().Format(time.DateTime), sink)
}
