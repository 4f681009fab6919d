package state

import (
	"encoding/json"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Rejoin asks a sink, which needs entries of the live lane that will not come, to take the
// lane further on. What lies between comes as history.
type Rejoin struct {
	Sink  string       `json:"sink"`
	From  LiveState    `json:"from"` // of its destination; in any other state nothing is asked of it
	Keep  block.Number `json:"keep"` // its blocks below this one are those of the chain; the others are rolled back
	To    LiveState    `json:"to"`   // of its destination afterwards
	Asked time.Time    `json:"asked"`
}

// MarshalJSON writes the request with the names that a live state has in a report.
func (r Rejoin) MarshalJSON() ([]byte, error) {
	type plain Rejoin
	return json.Marshal(struct {
		plain
		From liveJSON `json:"from"`
		To   liveJSON `json:"to"`
	}{plain(r), liveJSON(r.From), liveJSON(r.To)})
}

// Rejoin returns what the plan asks of a sink, if it does.
func (s Spec) Rejoin(sink string) (r Rejoin, asked bool) {
	for _, r := range s.Rejoins {
		if r.Sink == sink {
			return r, true
		}
	}
	return Rejoin{}, false
}
