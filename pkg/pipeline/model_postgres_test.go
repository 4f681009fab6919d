package pipeline_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// postgresModel is the model's table in PostgreSQL.
type postgresModel struct {
	t      *testing.T
	config config.Postgres
	db     *pgxpool.Pool
	mark   string // application_name of the writers' connections
	copies int

	mu   sync.Mutex
	open []*proxy // of writers
}

func newPostgresModel(t *testing.T, e *commandEnv, mode config.Mode) *postgresModel {
	t.Helper()
	p := &postgresModel{t: t, mark: e.schema}
	dsn, err := url.Parse(e.dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := dsn.Query()
	query.Set("application_name", p.mark)
	dsn.RawQuery = query.Encode()
	p.config = config.Postgres{
		DSN: config.Secret(dsn.String()), Schema: e.schema, Table: string(mode), Mode: mode, Writers: 2,
	}
	if mode == config.Upsert {
		p.config.Key = []string{"_block_num", "idx"}
	}
	if p.db, err = pgxpool.New(t.Context(), e.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.db.Close)
	return p
}

func (p *postgresModel) name() string { return p.config.Table }

// writer returns one whose connections go through a proxy of its own.
func (p *postgresModel) writer() sink.Writer {
	cfg := p.config
	dsn, err := url.Parse(string(cfg.DSN))
	if err != nil {
		p.t.Fatal(err)
	}
	through := newProxy(p.t, dsn.Host)
	dsn.Host = through.address
	cfg.DSN = config.Secret(dsn.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, through)
	return &proxied{Writer: postgres.New(cfg), close: func() {
		through.cut()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = slices.DeleteFunc(p.open, func(one *proxy) bool { return one == through })
	}}
}

// proxied is a writer that cuts its proxy when it is closed.
type proxied struct {
	sink.Writer
	close func()
}

func (c *proxied) Close() error {
	err := c.Writer.Close()
	c.close()
	return err
}

func (p *postgresModel) proxies() []*proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.open)
}

// swallow keeps every third row or so out of the table, without an error.
func (p *postgresModel) swallow(ctx context.Context) (func(context.Context) error, error) {
	table := p.config.Schema + "." + p.config.Table
	drop := fmt.Sprintf("DROP TRIGGER IF EXISTS swallow ON %s", table)
	_, err := p.db.Exec(ctx, fmt.Sprintf(`SET lock_timeout = '2s';
		CREATE OR REPLACE FUNCTION %[1]s.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN random() < 0.7 THEN NEW END; END $$;
		%[2]s; CREATE TRIGGER swallow BEFORE INSERT ON %[3]s FOR EACH ROW EXECUTE FUNCTION %[1]s.swallow()`, p.config.Schema, drop, table))
	return func(ctx context.Context) error {
		_, err := p.db.Exec(ctx, "SET lock_timeout = 0; "+drop)
		return err
	}, err
}

// backup copies the table and what ampipe knows of it.
func (p *postgresModel) backup(ctx context.Context) (func(context.Context) error, error) {
	p.copies++
	name := func(table string) string {
		return fmt.Sprintf("%s.%s_%d_%s", p.config.Schema, p.config.Table, p.copies, table)
	}
	target := p.config.Schema + "." + p.config.Table
	mine := fmt.Sprintf("(SELECT id FROM ampipe.tables WHERE schema_name = '%s' AND table_name = '%s')", p.config.Schema, p.config.Table)
	parts := []struct{ table, copied, where string }{
		{"ampipe.tables", name("tables"), "id = " + mine},
		{"ampipe.coverage", name("coverage"), "table_id = " + mine},
		{"ampipe.replaced", name("replaced"), "table_id = " + mine},
		{target, name("rows"), "true"},
	}
	there := false
	err := pgx.BeginTxFunc(ctx, p.db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", target).Scan(&there); err != nil || !there {
			return err
		}
		for _, part := range parts {
			if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM %s WHERE %s", part.copied, part.table, part.where)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := p.disturb(ctx); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, p.db, func(tx pgx.Tx) error {
			statements := []string{"SET LOCAL session_replication_role = replica"} // without triggers, cascades included
			if there {
				statements = append(statements, "LOCK TABLE "+target)
			}
			for _, state := range []string{"coverage", "replaced"} {
				statements = append(statements, fmt.Sprintf("DELETE FROM ampipe.%s WHERE table_id = %s", state, mine))
			}
			statements = append(statements, "DELETE FROM ampipe.tables WHERE id = "+mine)
			if there {
				statements = append(statements, "TRUNCATE "+target)
				for _, part := range parts {
					statements = append(statements, fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s", part.table, part.copied))
				}
			} else {
				statements = append(statements, "DROP TABLE IF EXISTS "+target)
			}
			for _, sql := range statements {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return fmt.Errorf("%s: %w", sql, err)
				}
			}
			return nil
		})
	}, nil
}

func (p *postgresModel) disturb(ctx context.Context) error {
	_, err := p.db.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(application_name, $1)", p.mark)
	return err
}

func (p *postgresModel) rows(ctx context.Context) ([]modelRow, error) {
	rows, err := p.db.Query(ctx, fmt.Sprintf(
		"SELECT _block_num::bigint, idx, encode(hash, 'hex'), coalesce(note, '-') FROM %s.%s", p.config.Schema, p.config.Table))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r modelRow, err error) {
		err = row.Scan(&r.block, &r.index, &r.hash, &r.note)
		return r, err
	})
}
