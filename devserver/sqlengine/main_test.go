package sqlengine_test

import (
	"testing"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/apache/arrow-go/v18/arrow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine runs over a chain of 100 blocks, from block 10 on, as dataset ds.
func engine(t testing.TB) *sqlengine.Engine {
	t.Helper()
	config := chain.DefaultConfig()
	config.Start, config.Blocks, config.Logs, config.Transactions = 10, 100, 30, 5
	c, err := chain.New(config)
	if err != nil {
		t.Fatal(err)
	}
	catalog := new(table.Catalog)
	if err := catalog.Add(chain.NewDataset(c, table.Ref{Namespace: "_", Name: "ds", Revision: "1.0.0"})); err != nil {
		t.Fatal(err)
	}
	e, err := sqlengine.Open(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// run returns the rows of a query as texts.
func run(t testing.TB, e *sqlengine.Engine, query string) ([]string, *arrow.Schema, error) {
	t.Helper()
	plan, err := e.Plan(t.Context(), query)
	if err != nil {
		return nil, nil, err
	}
	result, err := plan.Run(t.Context(), func(tb *table.Table) table.Snapshot { return tb.Source.Snapshot() })
	if err != nil {
		return nil, plan.Schema, err
	}
	defer func() {
		if err := result.Close(); err != nil {
			t.Error(err)
		}
	}()
	var rows []string
	for batch, err := range result.Rows() {
		if err != nil {
			return rows, plan.Schema, err
		}
		if !batch.Schema().Equal(plan.Schema) {
			t.Errorf("%s: a batch of schema %s, announced %s", query, batch.Schema(), plan.Schema)
		}
		for i := range int(batch.NumRows()) {
			text := ""
			for _, c := range batch.Columns() {
				text += c.ValueStr(i) + "|"
			}
			rows = append(rows, text)
		}
		batch.Release()
	}
	return rows, plan.Schema, nil
}
