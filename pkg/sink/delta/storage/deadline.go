package storage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errNoAnswer says that a storage, or a proxy on the way, keeps a connection open and
// does not go on with a request.
var errNoAnswer = errors.New("the storage has accepted a request and does not answer it")

const (
	// answerTime is how long a storage may take to answer, besides the time that the
	// bytes of the request need, and from one piece of the answer to the next.
	answerTime = 30 * time.Second
	// leastRate is how many bytes a second a storage has to take.
	leastRate = 128 << 10
	// unknownSize is taken for the size of a request that does not say its own.
	unknownSize = 16 << 20
)

// limitedTransport ends requests that are not answered. The libraries repeat some of
// them and then return the error, which passes by itself.
type limitedTransport struct{ *http.Transport }

// RoundTrip is [http.Transport.RoundTrip] with a limit that fits the request.
func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	size := r.ContentLength
	if size <= 0 && r.Body != nil && r.Body != http.NoBody {
		size = unknownSize
	}
	limit := answerTime + time.Duration(max(size, 0)/leastRate)*time.Second
	ctx, end := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(limit, func() { end(errNoAnswer) })
	response, err := t.Transport.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		err = unanswered(ctx, err)
		end(nil)
		return nil, err
	}
	response.Body = &limitedBody{response.Body, ctx, timer, end}
	return response, nil
}

// unanswered returns what ended ctx in place of err, if that was the limit.
func unanswered(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errNoAnswer) {
		return cause
	}
	return err
}

// limitedBody is the body of an answer, each piece of which has to come in time. The
// time in which its reader works is not counted.
type limitedBody struct {
	io.ReadCloser
	ctx   context.Context
	timer *time.Timer
	end   context.CancelCauseFunc
}

func (b *limitedBody) Read(p []byte) (int, error) {
	b.timer.Reset(answerTime)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = unanswered(b.ctx, err)
	}
	return n, err
}

func (b *limitedBody) Close() error {
	b.timer.Stop()
	defer b.end(nil)
	return b.ReadCloser.Close()
}
