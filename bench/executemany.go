package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

//go:embed executemany.py
var executemany []byte

// measureExecutemany compares a whole run with psycopg2's executemany and a
// commit for every 1000 rows.
func measureExecutemany(ctx context.Context, e *env, r *report) error {
	const what = "end to end, append, against a simple client"
	if e.python == "" {
		r.note("Not measured: %s, because %s.", what, e.missing)
		return nil
	}
	if _, err := e.load(ctx, e.scale.python, config.Append); err != nil {
		return err
	}
	if _, err := e.db.Exec(ctx, "DROP TABLE IF EXISTS some_logs; CREATE TABLE some_logs AS SELECT * FROM logs"); err != nil {
		return fmt.Errorf("copy some rows: %w", err)
	}
	script := filepath.Join(e.dir, "executemany.py")
	if err := os.WriteFile(script, executemany, 0o600); err != nil {
		return err
	}
	simple := side{"psycopg2 executemany, 1000 rows a commit", func(ctx context.Context) (sample, error) {
		if err := e.empty(ctx); err != nil {
			return sample{}, err
		}
		text, _, err := finish(ctx, e.external(ctx, e.python, script, e.dsn, "some_logs", "logs", "1000"))
		if err != nil {
			return sample{}, err
		}
		var rows int
		var seconds float64
		if _, err := fmt.Sscan(text, &rows, &seconds); err != nil {
			return sample{}, fmt.Errorf("read what executemany.py printed: %w\n%s", err, text)
		}
		return sample{rows, time.Duration(seconds * float64(time.Second))}, e.holds(ctx, e.scale.python)
	}}
	return r.add(e.compare(ctx, what, 15, e.live(config.Append), simple))
}
