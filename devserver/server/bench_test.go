package server_test

import (
	"testing"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/apache/arrow-go/v18/arrow/flight"
)

// BenchmarkScan reads a million logs over loopback Flight, decoded, client and
// server in one process: the server alone takes about a third of the time.
func BenchmarkScan(b *testing.B) {
	config := chain.DefaultConfig()
	config.Blocks, config.Logs = 5000, 200
	c, err := chain.New(config)
	if err != nil {
		b.Fatal(err)
	}
	catalog := new(table.Catalog)
	if err := catalog.Add(chain.NewDataset(c, table.Ref{Namespace: "_", Name: "ds", Revision: "latest"})); err != nil {
		b.Fatal(err)
	}
	s := start(b, server.Options{Catalog: catalog})
	const wrapped = " AS q WHERE q._block_num >= 0 AND q._block_num < 5000 ORDER BY q._block_num"
	for name, query := range map[string]string{
		"logs":         "SELECT * FROM (SELECT * FROM ds.logs\n)" + wrapped,
		"transactions": "SELECT * FROM (SELECT * FROM ds.transactions\n)" + wrapped,
		"filtered":     "SELECT * FROM (SELECT * FROM ds.logs WHERE topic1 IS NOT NULL\n)" + wrapped,
	} {
		b.Run(name, func(b *testing.B) {
			var rows, bytes int64
			for b.Loop() {
				r, n := readAll(b, s, query)
				rows += r
				bytes += n
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(bytes)/float64(rows), "B/row")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// readAll decodes an answer batch by batch.
func readAll(b *testing.B, s *client, query string) (rows, bytes int64) {
	b.Helper()
	info, err := s.flight.GetFlightInfo(b.Context(), descriptor(query))
	if err != nil {
		b.Fatal(err)
	}
	stream, err := s.flight.DoGet(b.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		b.Fatal(err)
	}
	before := s.Faults.Stats().Bytes
	r, err := flight.NewRecordReader(stream)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		rows += r.RecordBatch().NumRows()
	}
	if r.Err() != nil {
		b.Fatal(r.Err())
	}
	return rows, s.Faults.Stats().Bytes - before
}
