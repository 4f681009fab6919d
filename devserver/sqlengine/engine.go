// Package sqlengine answers SQL over the tables of a catalogue: it reads a query
// as an Amp server would, answers plain range scans from the tables themselves,
// and lets an embedded DuckDB do the rest, with Amp's column types.
package sqlengine

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/duckdb/duckdb-go/v2"
)

// Engine runs queries. It is safe for concurrent use; Close it when no query
// runs any more.
type Engine struct {
	catalog   *table.Catalog
	connector *duckdb.Connector
	db        *sql.DB // parses; a query has a [session] of its own

	last  atomic.Int64
	reads sync.Map // tables of running queries, *read by the number in their SQL
}

// Open starts an engine over the tables of a catalogue.
func Open(ctx context.Context, catalog *table.Catalog) (*Engine, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("open DuckDB: %w", err)
	}
	e := &Engine{catalog: catalog, connector: connector, db: sql.OpenDB(connector)}
	if err := e.prepare(ctx); err != nil {
		_ = e.db.Close() // the first error says more
		return nil, fmt.Errorf("open DuckDB: %w", err)
	}
	return e, nil
}

// Close frees what the engine holds.
func (e *Engine) Close() error { return e.db.Close() }

func (e *Engine) prepare(ctx context.Context) error {
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := duckdb.RegisterTableUDF(conn, readFunction, e.readFunction()); err != nil {
		return err
	}
	for _, statement := range []string{
		"SET temp_directory = ''",
		"SET enable_external_access = false",
		"SET TimeZone = 'UTC'",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// parse returns the tree of a cleaned statement.
func (e *Engine) parse(ctx context.Context, text string) (*node, error) {
	var tree struct {
		Error      bool
		Type       string `json:"error_type"`
		Message    string `json:"error_message"`
		Position   string
		Statements []statement
	}
	var raw []byte
	row := e.db.QueryRowContext(ctx, "SELECT json_serialize_sql(?::VARCHAR, skip_empty := true)::VARCHAR", text)
	if err := row.Scan(&raw); err != nil {
		return nil, fmt.Errorf("parse query: %w", err)
	}
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("parse query: read its tree: %w", err)
	}
	if tree.Error {
		at := ""
		if position, err := strconv.Atoi(tree.Position); err == nil {
			at = " at " + place(text, position)
		}
		return nil, parseError(tree.Message + at)
	}
	if len(tree.Statements) != 1 || tree.Statements[0].Node == nil {
		return nil, parseError("Expected a query")
	}
	return tree.Statements[0].Node, nil
}
