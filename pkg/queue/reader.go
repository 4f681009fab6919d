package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// reader reads single messages of a stream as the stream's leader has them. It may be
// used concurrently.
//
// A direct get is answered by any replica, and one that lags answers with what was
// true a moment ago, or for ever if it has stalled. What is read here decides who
// writes next, so of a stream with several replicas only the leader is asked. Its
// answer is JSON and takes six times as long for a large message, which is why a
// stream with one replica, where there is no difference, is read directly.
type reader struct {
	conn   *Conn
	stream jetstream.Stream
}

// getRequest asks for one message, by two of its fields at most.
type getRequest struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"` // at or above Seq
}

// get reads a message. Errors are those of package jetstream, not classed;
// jetstream.ErrMsgNotFound if there is none.
func (r reader) get(ctx context.Context, ask getRequest) (*jetstream.RawStreamMsg, error) {
	wait := requestWait // an entry is some MiB
	if strings.HasPrefix(ask.LastFor, stateSubject) {
		wait = apiWait
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if r.stream.CachedInfo().Config.Replicas > 1 {
		return r.fromLeader(ctx, ask)
	}
	msg, err := r.direct(ctx, ask)
	if errors.Is(err, nats.ErrNoResponders) {
		return r.fromLeader(ctx, ask) // a stream that was deleted: only this answer says so
	}
	return msg, err
}

func (r reader) direct(ctx context.Context, ask getRequest) (*jetstream.RawStreamMsg, error) {
	switch {
	case ask.LastFor != "":
		return r.stream.GetLastMsgForSubject(ctx, ask.LastFor)
	case ask.NextFor != "":
		return r.stream.GetMsg(ctx, ask.Seq, jetstream.WithGetMsgSubject(ask.NextFor))
	default:
		return r.stream.GetMsg(ctx, ask.Seq)
	}
}

// fromLeader uses the request that only a leader answers. nats.go uses it only for a
// stream that allows no direct gets.
func (r reader) fromLeader(ctx context.Context, ask getRequest) (*jetstream.RawStreamMsg, error) {
	request, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	name := r.stream.CachedInfo().Config.Name
	answer, err := r.conn.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+name, request)
	if err != nil {
		return nil, err
	}
	var told struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &told); err != nil {
		return nil, fmt.Errorf("read the answer of stream %s: %w", name, err)
	}
	switch {
	case told.Error != nil && told.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case told.Error != nil && told.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, jetstream.ErrStreamNotFound
	case told.Error != nil:
		return nil, told.Error
	case told.Message == nil:
		return nil, jetstream.ErrInvalidJetStreamResponse
	}
	m := told.Message
	msg := &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Sequence, Data: m.Data, Time: m.Time}
	if len(m.Header) > 0 {
		if msg.Header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("read the headers of message %d of stream %s: %w", m.Sequence, name, err)
		}
	}
	return msg, nil
}
