package flightserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
)

// Ticket is what a client carries from GetFlightInfo to DoGet: the query, its
// mode and the cursor (AP 1.3). It is not signed, never expires and may be
// redeemed any number of times.
type Ticket struct {
	SQL       string `json:"sql"`
	Streaming bool   `json:"streaming"`
	// Cursor is nil if there is none; an empty one is something else (AP 3.4).
	Cursor map[string]Place `json:"cursor"`
}

// Place is a block in a cursor.
type Place struct {
	Number block.Number `json:"number"`
	Hash   block.Hash   `json:"hash"`
}

const ticketMagic = "dev1"

// Encode returns the same bytes for the same ticket.
func (t Ticket) Encode() ([]byte, error) {
	body, err := json.Marshal(t) // keys of a map come out sorted
	if err != nil {
		return nil, fmt.Errorf("encode ticket: %w", err)
	}
	return append([]byte(ticketMagic), body...), nil
}

var errTicket = errors.New("ticket decoding error")

// DecodeTicket reads what [Ticket.Encode] wrote.
func DecodeTicket(raw []byte) (Ticket, error) {
	body, ours := bytes.CutPrefix(raw, []byte(ticketMagic))
	if !ours {
		return Ticket{}, fmt.Errorf("%w: not a ticket of this server", errTicket)
	}
	var t Ticket
	if err := json.Unmarshal(body, &t); err != nil {
		return Ticket{}, fmt.Errorf("%w: %w", errTicket, err)
	}
	return t, nil
}
