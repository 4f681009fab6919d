package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Writer is a table in PostgreSQL. It implements [sink.Writer],
// [sink.Connector], [sink.Digester], [sink.Adopter], [sink.Indexer] and [sink.Pruner]; docs/postgres.md is its manual.
type Writer struct {
	cfg         config.Postgres
	spec        *tableSpec
	pool        *sessions
	connected   *sessions // by Connect, for Open
	id          int32     // of the table in ampipe.tables
	hasReplaced bool      // ampipe.replaced is there and may be read
	dry         bool      // an adoption that changes nothing

	scratch        sync.Pool   // *scratch, one for each Apply that is running
	stagingBackoff callBackoff // of copying into the table itself
	sameBackoff    callBackoff // of looking whether all rows are there
	partitions     partitions
	patience       patience
	predicted      prediction
	altering       atomic.Bool // the table has triggers that may change rows
	warnings       []string
	checked        *tableSpec    // by Check
	search         time.Duration // how long a row that the server refuses is looked for
}

var (
	_ sink.Writer   = (*Writer)(nil)
	_ sink.Digester = (*Writer)(nil)
	_ sink.Adopter  = (*Writer)(nil)
	_ sink.Indexer  = (*Writer)(nil)
	_ sink.Pruner   = (*Writer)(nil)

	_ sink.Connector = (*Writer)(nil)

	errNotOpen = fault.Permanent(errors.New("the writer is not open"))
)

// New makes a Writer for a sink of the configuration. It allocates only;
// [Writer.Open] connects.
func New(cfg config.Postgres) *Writer { return &Writer{cfg: cfg, search: searchTime} }

// Warnings returns what Open or Check found of the table that may become trouble.
// Before them it returns none.
func (w *Writer) Warnings(sink.Table) []string { return w.warnings }

// Close waits for the calls that are running and closes the connections.
func (w *Writer) Close() error {
	for _, pool := range []*sessions{w.pool, w.connected} {
		if pool != nil {
			pool.Close()
		}
	}
	w.pool, w.connected = nil, nil
	return nil
}

// inTx runs f in a transaction that only reads and commits it unless f fails.
func (w *Writer) inTx(ctx context.Context, options pgx.TxOptions, f func(pgx.Tx) error) error {
	return w.pool.inTx(ctx, options, readPatience, f)
}
