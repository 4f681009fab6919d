package pipeline_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// postgresModel is the model's table in PostgreSQL.
type postgresModel struct {
	config config.Postgres
	db     *pgxpool.Pool
	mark   string // application_name of the writers' connections
}

func newPostgresModel(t *testing.T, l *lab, mode config.Mode) *postgresModel {
	t.Helper()
	p := &postgresModel{mark: l.schema}
	dsn, err := url.Parse(l.dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := dsn.Query()
	query.Set("application_name", p.mark)
	dsn.RawQuery = query.Encode()
	p.config = config.Postgres{
		DSN: config.Secret(dsn.String()), Schema: l.schema, Table: string(mode), Mode: mode, Writers: 2,
	}
	if mode == config.Upsert {
		p.config.Key = []string{"_block_num", "idx"}
	}
	if p.db, err = pgxpool.New(t.Context(), l.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.db.Close)
	return p
}

func (p *postgresModel) name() string { return p.config.Table }

func (p *postgresModel) writer() sink.Writer { return postgres.New(p.config) }

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
