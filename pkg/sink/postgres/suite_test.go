package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// destination is a table for the suite that every destination has to pass.
type destination struct {
	*database
	cfg config.Postgres
}

func newDestination(t testing.TB, s sinktest.Setup) sinktest.Destination {
	d := newDatabase(t)
	cfg := d.config()
	cfg.Mode, cfg.Key = s.Mode, s.Key
	cfg.Finality = 400 // more than the suite takes back, less than its longest chains have
	return &destination{d, cfg}
}

func (d *destination) Writer(testing.TB) sink.Writer { return postgres.New(d.cfg) }

func (d *destination) Rows(ctx context.Context) ([]sinktest.Row, error) {
	rows, err := d.Query(ctx, "SELECT key, block_num, log_index, value FROM t")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sinktest.Row])
}

// Kill ends every connection to the database but the test's own.
func (d *destination) Kill(t testing.TB) {
	_, err := connect(t, d.url).Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ampipe%'")
	if err != nil {
		t.Errorf("kill: %v", err)
	}
}

func (d *destination) Refused() (sinktest.Row, string) {
	return sinktest.Row{Key: "a\x00b"}, "key"
}

func TestSuite(t *testing.T) { sinktest.Run(t, newDestination) }

// TestSuiteDivided is the suite for a table whose partitions are made as blocks come.
func TestSuiteDivided(t *testing.T) {
	sinktest.RunByBlock(t, func(t testing.TB, s sinktest.Setup) sinktest.Destination {
		d := newDestination(t, s).(*destination)
		d.cfg.PartitionBy = config.BlockPartitions{Blocks: 16}
		return d
	})
}

func BenchmarkSuite(b *testing.B) { sinktest.Bench(b, newDestination) }
