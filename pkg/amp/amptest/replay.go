package amptest

import (
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc/codes"
)

// ReplayHistory answers the first stream without a cursor as [Server.Replay] does,
// and whatever else is asked of the recorded query as the recorded server would
// have: its chain has come as far as the recording has been sent, and continues,
// once the recorded stream has been left, whenever a stream has nothing more to
// send. A client rightly asks again when a reorg begins at the last block that it
// has. Batch queries are answered from the chain, too. The history is r's own, and
// nobody else steps it meanwhile.
func (s *Server) ReplayHistory(r Recording, h *History) {
	p := &replay{history: h}
	h.OnIdle(p.idle)
	recorded := r.Answer()
	recorded.sent, recorded.left = p.sent, p.left
	s.answer(r.SQL, func(q Query) Answer {
		if q.Stream() && q.Resume() == "" && p.begin() {
			return recorded
		}
		p.catchUp()
		return h.Answer(q)
	})
}

// replay is how far a recorded stream has been sent.
type replay struct {
	mu       sync.Mutex
	history  *History
	begun    bool // the recorded stream has been asked for
	messages int  // sent of it, the schema included
	gone     bool // a client has left the recorded stream
}

// begin reports whether the recorded stream is still to be sent.
func (p *replay) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.begun
	p.begun = true
	return first
}

func (p *replay) sent(messages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = max(p.messages, messages)
}

func (p *replay) left() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func (p *replay) catchUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.StepTo(p.history.StepOf(p.messages - 1))
}

func (p *replay) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		p.history.Step()
	}
}

// NewRecording returns what a server would have been recorded to send as a stream
// that was still open: parts, of which every one without a record is a batch
// without rows.
func NewRecording(name, sql string, schema *arrow.Schema, parts []Part) (Recording, error) {
	info, err := schemaBytes(schema)
	if err != nil {
		return Recording{}, err
	}
	first, err := schemaData(schema)
	if err != nil {
		return Recording{}, err
	}
	r := Recording{
		Name: name, SQL: sql, Header: map[string][]string{"amp-stream": {"true"}}, Info: Outcome{Code: codes.OK.String()},
		Messages: []Recorded{{}}, FlightInfo: infoOf(info, []byte(name)),
	}
	r.Data = append(r.Data, first)
	for _, p := range parts {
		message, err := partData(schema, p)
		if err != nil {
			return Recording{}, err
		}
		rows := int64(0)
		if p.Record != nil {
			rows = p.Record.NumRows()
		}
		r.Data = append(r.Data, message)
		r.Messages = append(r.Messages, Recorded{Rows: rows, Metadata: string(message.AppMetadata)})
	}
	return r, nil
}
