package amp

import (
	"context"
	"sync"
	"time"
)

const (
	// mostPrepared bounds the queries that were prepared and not fetched.
	mostPrepared = 256
	// preparedFor is how long a prepared query is good for. A ticket of Amp never expires
	// (AP 1.3); this is for servers that are stricter.
	preparedFor = 5 * time.Minute
)

// Prepare has the server plan a query that is to be fetched soon, so that [Client.Fetch] of
// the same text saves a round trip. The server does not run it before that.
func (c *Client) Prepare(ctx context.Context, sql string) error {
	p, err := c.plan(ctx, sql)
	if err != nil {
		return err
	}
	c.prepared.put(sql, p)
	return nil
}

// preparedQueries are planned queries by their text. It is safe for concurrent use.
type preparedQueries struct {
	mu   sync.Mutex
	plan map[string]preparedQuery
}

type preparedQuery struct {
	planned
	at time.Time
}

func (q *preparedQueries) put(sql string, p planned) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for text, old := range q.plan {
		if now.Sub(old.at) > preparedFor {
			delete(q.plan, text)
		}
	}
	if q.plan == nil {
		q.plan = map[string]preparedQuery{}
	}
	if len(q.plan) < mostPrepared {
		q.plan[sql] = preparedQuery{p, now}
	}
}

// take returns a query that was prepared, once.
func (q *preparedQueries) take(sql string) (p planned, found bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	prepared, found := q.plan[sql]
	delete(q.plan, sql)
	return prepared.planned, found && time.Since(prepared.at) <= preparedFor
}
