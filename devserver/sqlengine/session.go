package sqlengine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/duckdb/duckdb-go/v2"
)

// session is a DuckDB connection on which the tables of one query can be named
// as the query names them. It has a catalogue of its own, so that sessions with
// different snapshots do not see each other.
type session struct {
	engine  *Engine
	conn    *duckdb.Conn
	catalog string
	reads   []int64
}

// open makes a session. The optimiser is off while only types are asked for:
// it would evaluate constants, and fail where a real server still has a schema.
func (p *Plan) open(ctx context.Context, snapshots Snapshots, optimise bool) (_ *session, err error) {
	raw, err := p.engine.connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to DuckDB: %w", err)
	}
	s := &session{engine: p.engine, conn: raw.(*duckdb.Conn)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	name := fmt.Sprintf("query_%d", p.engine.last.Add(1))
	if err := s.exec(ctx, "ATTACH ':memory:' AS "+name); err != nil {
		return nil, err
	}
	s.catalog = name
	settings := []string{"USE " + name}
	if !optimise {
		settings = append(settings, "PRAGMA disable_optimizer")
	}
	if p.tree.anywhere(isBlockNum) {
		settings = append(settings, "CREATE MACRO block_num() AS NULL::UBIGINT")
	}
	if err := s.exec(ctx, settings...); err != nil {
		return nil, err
	}
	return s, s.createViews(ctx, p.uses, snapshots)
}

// createViews lets each table be named; a table that is mentioned twice is read
// for the blocks that either mention needs.
func (s *session) createViews(ctx context.Context, uses []*use, snapshots Snapshots) error {
	type name struct{ schema, table string }
	seen := map[name]*read{}
	for _, u := range uses {
		n := name{strings.ToLower(u.schema), strings.ToLower(u.name)}
		if r := seen[n]; r != nil {
			r.blocks = block.Range{Start: min(r.blocks.Start, u.blocks.Start), End: max(r.blocks.End, u.blocks.End)}
			continue
		}
		r := &read{ctx: ctx, schema: u.table.Source.Schema(), blocks: u.blocks}
		if snapshots != nil {
			r.snapshot = snapshots(u.table)
		}
		seen[n] = r
		id := s.engine.register(r)
		s.reads = append(s.reads, id)
		schema := identifier(u.schema)
		if err := s.exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema,
			fmt.Sprintf("CREATE VIEW %s.%s AS SELECT * FROM system.main.%s(%d)", schema, identifier(u.name), readFunction, id)); err != nil {
			return err
		}
	}
	return nil
}

func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (s *session) exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := s.conn.ExecContext(ctx, statement, nil); err != nil {
			return fmt.Errorf("prepare DuckDB: %s: %w", statement, err)
		}
	}
	return nil
}

// close may be called when ctx of the query has ended.
func (s *session) close() error {
	defer s.engine.forget(s.reads)
	ctx := context.Background()
	if s.catalog != "" {
		for _, statement := range []string{"USE memory", "DETACH " + s.catalog} {
			if _, err := s.conn.ExecContext(ctx, statement, nil); err != nil {
				return errors.Join(fmt.Errorf("close DuckDB session: %w", err), s.conn.Close())
			}
		}
	}
	return s.conn.Close()
}

// prepare binds a statement; the caller closes it.
func (s *session) prepare(ctx context.Context, text string) (*duckdb.Stmt, error) {
	stmt, err := s.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.(*duckdb.Stmt), nil
}

func (e *Engine) register(r *read) int64 {
	id := e.last.Add(1)
	e.reads.Store(id, r)
	return id
}

func (e *Engine) forget(ids []int64) {
	for _, id := range ids {
		e.reading(id).close()
		e.reads.Delete(id)
	}
}

// reading returns what is registered under a number; nil if nothing is.
func (e *Engine) reading(id int64) *read {
	r, _ := e.reads.Load(id)
	found, _ := r.(*read)
	return found
}
