package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// others adds what a stream stumbles over: another chain of the same network,
// one of another, a dataset without a blocks table, and tables without data.
func others(t *testing.T, o *server.Options) {
	t.Helper()
	for name, network := range map[string]string{"twin": "anvil", "base": "base"} {
		config := chain.DefaultConfig()
		config.Network, config.Blocks = network, 5
		c, err := chain.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Catalog.Add(chain.NewDataset(c, table.Ref{Namespace: "_", Name: name, Revision: "latest"})); err != nil {
			t.Fatal(err)
		}
	}
	headless := &table.Dataset{Ref: table.Ref{Namespace: "_", Name: "headless", Revision: "latest"}, Network: "anvil", Tables: map[string]*table.Table{}}
	headless.Tables["logs"] = table.NewTable("logs", table.NewStored(table.Logs(), nil, nil))
	void := &table.Dataset{Ref: table.Ref{Namespace: "_", Name: "void", Revision: "latest"}, Network: "anvil", Tables: map[string]*table.Table{}}
	for _, name := range []string{"blocks", "logs"} {
		void.Tables[name] = table.NewTable(name, table.NewStored(table.Blocks(), nil, nil))
	}
	void.LinkHeaders()
	for _, d := range []*table.Dataset{headless, void} {
		if err := o.Catalog.Add(d); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStreamRefusals: what cannot be streamed has a schema, and is refused by
// DoGet (AP 3.7).
func TestStreamRefusals(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { others(t, o) })
	const incremental = "invalid query: non-incremental queries are not supported for streaming, query contains non-incremental operation: "
	tests := []struct {
		query string
		code  codes.Code
		text  string
	}{
		{"SELECT count(*) FROM ds.logs", codes.InvalidArgument, incremental + "Aggregate"},
		{"SELECT _block_num, count(*) FROM ds.logs GROUP BY _block_num", codes.InvalidArgument, incremental + "Aggregate"},
		{"SELECT * FROM ds.logs LIMIT 3", codes.InvalidArgument, incremental + "Limit"},
		{"SELECT * FROM ds.logs ORDER BY _block_num", codes.InvalidArgument, incremental + "Sort"},
		{"SELECT DISTINCT address FROM ds.logs", codes.InvalidArgument, incremental + "Distinct"},
		{"SELECT address FROM ds.logs UNION SELECT miner FROM ds.blocks", codes.InvalidArgument, incremental + "Distinct"},
		{"SELECT b.hash FROM ds.blocks b LEFT JOIN ds.logs l ON b.hash = l.block_hash", codes.InvalidArgument, incremental + "Join(Left)"},
		{"SELECT row_number() OVER () AS r FROM ds.logs", codes.InvalidArgument, incremental + "Window"},
		{"SELECT * FROM ds.blocks b JOIN ds.logs l ON b.hash = l.block_hash", codes.Internal, "streaming query execution error | Caused by: failed to propagate _block_num"},
		{"SELECT _block_num FROM ds.blocks UNION ALL SELECT _block_num FROM base.blocks", codes.Internal,
			"streaming query execution error | Caused by: failed to resolve raw dataset from dependencies -> multiple networks in dependency tree: base and anvil"},
		{"SELECT * FROM headless.logs", codes.Internal, "blocks table not found in raw dataset _/headless@latest"},
		{"SELECT _block_num FROM ds.blocks UNION ALL SELECT _block_num FROM twin.blocks", codes.Unimplemented, "do not share a chain"},
		{"SELECT b.hash FROM ds.blocks b JOIN ds.logs l ON b.hash = l.block_hash", codes.Unimplemented, "joins"},
		{"SELECT hash FROM ds.blocks WHERE hash IN (SELECT block_hash FROM ds.logs)", codes.Unimplemented, "subqueries in expressions"},
		{"SELECT hash FROM ds.blocks UNION ALL SELECT block_hash FROM ds.logs", codes.Unimplemented, "select _block_num"},
	}
	for _, test := range tests {
		f := s.follow(t, test.query, "")
		_, err := f.next(t)
		if got := status.Convert(err); got.Code() != test.code || !strings.Contains(got.Message(), test.text) {
			t.Errorf("%s\nends with %v", test.query, err)
		}
		if f.schema != nil {
			t.Errorf("%s: a schema came first", test.query)
		}
	}
}

// TestNothingToFollow: without a table, or with one that has no data at the end,
// a stream ends like a batch query (AP 3.8).
func TestNothingToFollow(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { others(t, o) })
	for _, query := range []string{"SELECT 1 AS one", "SELECT * FROM void.blocks", "SELECT * FROM void.logs"} {
		f := s.follow(t, query, "")
		batch, m, err := f.message(t)
		if err != nil || len(m.Ranges) > 0 || !m.Complete || batch.NumRows() > 0 {
			t.Errorf("%s: %+v with %v", query, m, err)
		}
		if _, _, err = f.message(t); err == nil || err.Error() != "EOF" {
			t.Errorf("%s ends with %v", query, err)
		}
	}
}

// TestStreamSQL: queries that are more than a scan have the rows of each
// microbatch, in ascending order of blocks.
func TestStreamSQL(t *testing.T) {
	tests := map[string]uint64{ // query, and rows of a block
		"SELECT block_num() AS bn, hash FROM ds.blocks":                                                                1,
		"SELECT _block_num, log_index + 1 AS i FROM ds.logs WHERE block_num() >= 0":                                    10,
		"SELECT _block_num, i FROM (SELECT _block_num, log_index * 2 AS i FROM ds.logs) AS q WHERE i >= 0":             10,
		"WITH q AS (SELECT * FROM ds.logs) SELECT _block_num, upper('x') AS x FROM q":                                  10,
		"SELECT _block_num, hash FROM ds.blocks UNION ALL SELECT _block_num, block_hash FROM ds.logs":                  11,
		"SELECT block_num() AS bn, 1 AS x FROM ds.logs UNION ALL SELECT block_num, 2 FROM ds.blocks":                   11,
		"SELECT block_num() AS bn, count(*) AS n FROM ds.logs GROUP BY block_num(), block_hash":                        1,
		"SELECT DISTINCT ON (block_num()) _block_num, address FROM ds.logs":                                            1,
		"SELECT _block_num, log_index FROM ds.logs WHERE log_index % 2 = 0 SETTINGS stream = true":                     5,
		"SELECT _block_num, hash FROM (SELECT * FROM ds.blocks UNION ALL SELECT * FROM ds.blocks) WHERE gas_limit > 0": 2,
	}
	for query, times := range tests {
		t.Run(query, func(t *testing.T) {
			s := liveServer(t, 30, func(o *server.Options) { o.Streaming.Window = 20 })
			f := s.follow(t, query, s.at(4))
			check := func(first, last uint64) {
				t.Helper()
				var got []uint64
				m, err := f.next(t)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range m.batches {
					got = append(got, b.Column(0).(*array.Uint64).Uint64Values()...)
				}
				if !slices.Equal(got, blocksOf(first, last, times)) {
					t.Errorf("%v has the rows of %v", m, got)
				}
			}
			check(5, 24)
			check(25, 29)
			s.fork(t, 3, 1)
			check(27, 30)
		})
	}
}

// TestStreamRowFails: a row that cannot be computed ends the stream in the words
// of streams, after what came before it (AP 3.8).
func TestStreamRowFails(t *testing.T) {
	s := liveServer(t, 3, func(*server.Options) {})
	f := s.follow(t, "SELECT _block_num, CAST(CAST(hash AS VARCHAR) AS BIGINT) AS x FROM ds.blocks", "")
	batch, m, err := f.message(t)
	if err != nil || batch.NumRows() > 0 || m.Complete || len(m.Ranges) != 1 {
		t.Fatalf("began with %v (%v)", m, err)
	}
	_, err = f.next(t)
	if got := status.Convert(err); got.Code() != codes.Internal || !strings.HasPrefix(got.Message(), "streaming query execution error | Caused by: ") {
		t.Errorf("ends with %v", err)
	}
}

// TestStreamFromFiles: tables that do not change are streamed along their own
// blocks table, and then silent.
func TestStreamFromFiles(t *testing.T) {
	made := liveServer(t, 8, func(*server.Options) {})
	stored := &table.Dataset{Ref: table.Ref{Namespace: "_", Name: "stored", Revision: "latest"}, Network: "anvil", Tables: map[string]*table.Table{}}
	var visible amp.Range
	for name, query := range map[string]string{"blocks": blocks, "logs": logs} {
		r, err := made.ask(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		batches := decode(t, r.data)
		visible = metadata(t, r.data[1]).Ranges[0]
		source, err := table.NewMemory(batches[0].Schema(), &visible, batches)
		if err != nil {
			t.Fatal(err)
		}
		stored.Tables[name] = table.NewTable(name, source)
	}
	stored.LinkHeaders()
	catalog := new(table.Catalog)
	if err := catalog.Add(stored); err != nil {
		t.Fatal(err)
	}
	s := live{start(t, server.Options{Catalog: catalog}), made.chain}
	f := s.follow(t, "SELECT * FROM stored.logs", "")
	if m := s.expect(t, f, 0, 7); !slices.Equal(m.numbers(), blocksOf(0, 7, 10)) {
		t.Errorf("the rows are of %v", m.numbers())
	}
	s.expect(t, s.follow(t, "SELECT * FROM stored.logs", s.at(5)), 6, 7)
	s.Faults.Fail(codes.Internal, "enough")
	if _, err := f.next(t); status.Convert(err).Message() != "enough" {
		t.Errorf("ends with %v", err)
	}
}
