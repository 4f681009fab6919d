package redis

import (
	"context"

	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// guarded reports whether the rows of the slice at hand are set by MSETNX.
func (c *call) guarded() bool {
	return c.target.UsesMsetGuard() && !c.unguarded && !c.chunked && c.pack.Count > 0
}

// putGuarded puts the slice into the pipe as one transaction: the script looks, a
// plain command sets the rows, all or none, and the script does the rest; see
// apply.lua. If the server has forgotten the script, the guard is still there and
// refuses the rows.
func (c *call) putGuarded(ctx context.Context, header, index []byte) {
	g, b, n := c.target, &c.next, len(c.pack.Ends)
	keys := append(g.Keys(), g.MsetGuard())
	b.pipe.Do(ctx, "MULTI")
	c.script.EvalSha(ctx, b.pipe, keys, header)
	b.pipe.Do(ctx, c.appendRows(append(make([]any, 0, 3+n), "MSETNX", g.MsetGuard(), "rows"))...)
	c.script.EvalSha(ctx, b.pipe, keys, header, index)
	b.sent = append(b.sent, sent{reply: b.pipe.Do(ctx, "EXEC"), rows: c.pack.Count, guarded: true})
}

// executed returns the answer of the last call of a transaction, or the first error
// in it.
func executed(answers []any) ([]any, error) {
	for _, a := range answers {
		if err, failed := a.(error); failed {
			return nil, err
		}
	}
	if len(answers) == 0 {
		return nil, format.ErrState
	}
	last, ok := answers[len(answers)-1].([]any)
	if !ok {
		return nil, format.ErrState
	}
	return last, nil
}
