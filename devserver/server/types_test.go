package server_test

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
)

// TestRecordedTypesAsTables takes every recorded batch answer with a block
// column for a table and serves it again: whatever types the real server sent,
// schema and values come back the same.
func TestRecordedTypesAsTables(t *testing.T) {
	held := 0
	for _, r := range amptest.Recordings(t) {
		if len(r.Header) > 0 || len(r.Data) < 2 {
			continue
		}
		schema, err := flight.DeserializeSchema(r.FlightInfo.Schema, allocator)
		if err != nil {
			t.Fatal(err)
		}
		if !schema.HasField(table.BlockColumn) || r.End.Code != "OK" {
			continue
		}
		held++
		t.Run(r.Name, func(t *testing.T) {
			visible := metadata(t, r.Data[1]).Ranges
			stored, err := table.NewMemory(schema, nil, nil)
			if len(visible) > 0 {
				stored, err = table.NewMemory(schema, &visible[0], byBlock(t, decode(t, r.Data)))
			}
			if err != nil {
				t.Fatal(err)
			}
			catalog := new(table.Catalog)
			if err := catalog.Add(&table.Dataset{
				Ref: table.Ref{Namespace: "_", Name: "again", Revision: "1.0.0"}, Network: "anvil",
				Tables: map[string]*table.Table{"t": table.NewTable("t", stored)},
			}); err != nil {
				t.Fatal(err)
			}
			s := start(t, server.Options{Catalog: catalog})
			got, err := s.ask(t.Context(), `SELECT * FROM "_/again@1.0.0".t`)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.info.Schema, r.FlightInfo.Schema) || !bytes.Equal(got.data[0].DataHeader, r.Data[0].DataHeader) {
				t.Error("the schema differs in its bytes")
			}
			if !slices.Equal(rowTexts(t, got.data, true), rowTexts(t, r.Data, true)) {
				t.Error("the rows differ")
			}
		})
	}
	if held == 0 {
		t.Fatal("no recorded answer has a block column")
	}
}

// byBlock returns the rows of an answer one by one, in ascending order of blocks:
// a real server promises no order.
func byBlock(t *testing.T, batches []arrow.RecordBatch) []arrow.RecordBatch {
	t.Helper()
	var rows []arrow.RecordBatch
	for _, b := range batches {
		for i := range b.NumRows() {
			rows = append(rows, b.NewSlice(i, i+1))
		}
	}
	number := func(b arrow.RecordBatch) uint64 {
		return b.Column(b.Schema().FieldIndices(table.BlockColumn)[0]).(*array.Uint64).Value(0)
	}
	slices.SortStableFunc(rows, func(a, b arrow.RecordBatch) int { return cmp.Compare(number(a), number(b)) })
	return rows
}
