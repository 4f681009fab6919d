package sqlengine

import (
	"context"
	"iter"
	"slices"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
)

// Plan is a query that has a schema. It reads no data until it runs, and may
// run any number of times.
type Plan struct {
	// Schema is what GetFlightInfo answers.
	Schema *arrow.Schema
	// Streaming is what the SETTINGS of the query ask for.
	Streaming bool
	// Ordered reports whether the query asks for an order.
	Ordered bool
	// Scan is set if the query is only a range of one table.
	Scan *Scan

	engine *Engine
	sql    string
	tree   *node
	uses   []*use
	out    scope // the columns of the result, as far as they are known
}

// Plan works out the schema of a query as GetFlightInfo does: by schemas only.
// Its errors are of type [*Error], apart from failures of the engine itself.
func (e *Engine) Plan(ctx context.Context, sql string) (*Plan, error) {
	text, err := clean(sql)
	if err != nil {
		return nil, err
	}
	tree, err := e.parse(ctx, text.sql)
	if err != nil {
		return nil, err
	}
	if err := forbidAliases(tree); err != nil {
		return nil, err
	}
	r := resolver{catalog: e.catalog}
	out, err := r.query(tree, nil, nil)
	if err != nil {
		return nil, err
	}
	p := &Plan{engine: e, sql: text.sql, tree: tree, uses: r.uses, out: out, Streaming: text.streaming}
	p.Ordered = slices.ContainsFunc(tree.Modifiers, func(m modifier) bool { return m.Type == "ORDER_MODIFIER" })
	p.Scan = scanOf(tree, out, r.uses)
	if p.Schema, err = p.infer(ctx, out); err != nil {
		return nil, err
	}
	return p, nil
}

// Tables lists the tables whose ranges limit those of the answer, each once (AP 2).
func (p *Plan) Tables() []TableUse {
	var out []TableUse
	for _, u := range p.uses {
		if t := (TableUse{u.dataset, u.table}); u.counted && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// TableUse is a table that a query reads.
type TableUse struct {
	Dataset *table.Dataset
	Table   *table.Table
}

// Read is a mention of a table in a query, and the blocks of it that the query
// can need.
type Read struct {
	Table  *table.Table
	Blocks block.Range
}

// Reads lists every mention of a table.
func (p *Plan) Reads() []Read {
	out := make([]Read, len(p.uses))
	for i, u := range p.uses {
		out[i] = Read{u.table, u.blocks}
	}
	return out
}

// Empty reports whether the query ends in LIMIT 0: only its ranges are wanted.
func (p *Plan) Empty() bool {
	for _, m := range p.tree.Modifiers {
		if m.Type != "LIMIT_MODIFIER" || m.Limit == nil {
			continue
		}
		if limit, isInt := m.Limit.integer(); isInt && limit.Sign() == 0 {
			return true
		}
	}
	return false
}

// Snapshots are what each table holds for one run of a plan.
type Snapshots func(*table.Table) table.Snapshot

// Result is the answer to one run of a plan.
type Result struct {
	rows  iter.Seq2[arrow.RecordBatch, error]
	close func() error // nil if there is nothing to close
}

// Rows yields the batches of the answer, once. The consumer releases them. An
// error ends the answer.
func (r *Result) Rows() iter.Seq2[arrow.RecordBatch, error] { return r.rows }

// Close frees what the answer holds, whether its rows have been read or not.
func (r *Result) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Run answers the query from the snapshots given. Errors that a real server
// finds before it sends the schema are returned; those of rows are yielded. The
// caller closes the result.
func (p *Plan) Run(ctx context.Context, snapshots Snapshots) (*Result, error) {
	if err := p.refuse(); err != nil {
		return nil, err
	}
	if p.Scan != nil {
		return &Result{rows: p.Scan.run(ctx, snapshots(p.Scan.Table), p.Schema)}, nil
	}
	return p.query(ctx, snapshots)
}
