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
func measureExecutemany(ctx context.Context, l *lab, r *report) error {
	const what = "end to end, append, against a simple client"
	if l.python == "" {
		r.note("Not measured: %s, because %s.", what, l.missing)
		return nil
	}
	if _, err := l.load(ctx, l.size.python, config.Append); err != nil {
		return err
	}
	if _, err := l.db.Exec(ctx, "DROP TABLE IF EXISTS some_logs; CREATE TABLE some_logs AS SELECT * FROM logs"); err != nil {
		return fmt.Errorf("copy some rows: %w", err)
	}
	script := filepath.Join(l.dir, "executemany.py")
	if err := os.WriteFile(script, executemany, 0o600); err != nil {
		return err
	}
	simple := side{"psycopg2 executemany, 1000 rows a commit", func(ctx context.Context) (sample, error) {
		if err := l.empty(ctx); err != nil {
			return sample{}, err
		}
		text, _, err := finish(ctx, l.external(ctx, l.python, script, l.dsn, "some_logs", "logs", "1000"))
		if err != nil {
			return sample{}, err
		}
		var rows int
		var seconds float64
		if _, err := fmt.Sscan(text, &rows, &seconds); err != nil {
			return sample{}, fmt.Errorf("read what executemany.py printed: %w\n%s", err, text)
		}
		return sample{rows, time.Duration(seconds * float64(time.Second))}, l.holds(ctx, l.size.python)
	}}
	return r.add(l.compare(ctx, what, 15, l.live(config.Append), simple))
}
