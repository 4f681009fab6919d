package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/pkg/block"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// blocksOf lists the numbers from first to last, each so often.
func blocksOf(first, last, times uint64) []uint64 {
	var out []uint64
	for n := first; n <= last; n++ {
		out = append(out, slices.Repeat([]uint64{n}, int(times))...)
	}
	return out
}

// TestStreamReorg is upstream's it_client: a stream over a chain that is mined,
// mined and forked (AP 9.4).
func TestStreamReorg(t *testing.T) {
	s := liveServer(t, 1, func(*server.Options) {})
	f := s.follow(t, blocks, "")
	s.expect(t, f, 0, 0)
	s.chain.Grow(1)
	s.expect(t, f, 1, 1)
	s.chain.Grow(1)
	s.expect(t, f, 2, 2)
	s.fork(t, 1, 1)
	if m := s.expect(t, f, 2, 3); !slices.Equal(m.numbers(), []uint64{2, 3}) {
		t.Errorf("the rows are of %v", m.numbers())
	}
	if f.schema == nil || len(f.schema.AppMetadata) > 0 {
		t.Error("the schema message says more than the schema")
	}
}

// TestStreamResume is upstream's it_client: a stop, a resume, and a resume with
// a cursor that was orphaned meanwhile (AP 9.4).
func TestStreamResume(t *testing.T) {
	s := liveServer(t, 2, func(*server.Options) {})
	one := s.at(1)
	s.chain.Grow(1)
	two := s.at(2)
	if m := s.expect(t, s.follow(t, blocks, one), 2, 2); !slices.Equal(m.numbers(), []uint64{2}) {
		t.Errorf("the rows are of %v", m.numbers())
	}
	s.fork(t, 2, 1)
	s.expect(t, s.follow(t, blocks, two), 1, 3)
}

// TestStreamAnnouncesReorgInsideARange is upstream's flight_data_app_metadata:
// a reorg begins at a block, not where a microbatch did.
func TestStreamAnnouncesReorgInsideARange(t *testing.T) {
	s := liveServer(t, 1, func(*server.Options) {})
	f := s.follow(t, logs, "")
	s.expect(t, f, 0, 0)
	s.chain.Grow(2)
	s.expect(t, f, 1, 2)
	s.fork(t, 1, 1)
	s.expect(t, f, 2, 3)
	s.fork(t, 3, 1) // and again, deeper
	s.expect(t, f, 1, 4)
}

// TestWindow: history comes in windows, whatever WHERE says, and a reorg may end
// below what has been sent (AP 3.1, 3.3, 3.5).
func TestWindow(t *testing.T) {
	s := liveServer(t, 25, func(o *server.Options) { o.Streaming.Window = 10 })
	f := s.follow(t, logs+" WHERE _block_num >= 22", "")
	for _, test := range []struct{ first, last, rows uint64 }{{0, 9, 0}, {10, 19, 0}, {20, 24, 3 * 10}} {
		m := s.expect(t, f, block.Number(test.first), block.Number(test.last))
		if got := uint64(len(m.numbers())); got != test.rows {
			t.Errorf("%v has %d rows, want %d", m, got, test.rows)
		}
	}
	s.fork(t, 20, 1)
	s.expect(t, f, 5, 14)
	s.expect(t, f, 15, 24)
	s.expect(t, f, 25, 25)
}

// TestCursors walks through the table of AP 3.4. Silence is shown by what comes
// first once the chain has grown.
func TestCursors(t *testing.T) {
	s := liveServer(t, 31, func(*server.Options) {})
	strange := block.Hash{0xee}
	orphaned, deep := s.at(30), s.at(20)
	s.fork(t, 5, 0)
	s.fork(t, 15, 2) // the head is 32, and blocks from 16 on are new
	tests := map[string]struct {
		resume      string
		first, last block.Number
	}{
		"none":                     {"", 0, 32},
		"unparsable":               {"hello", 0, 32},
		"number as text":           {`{"anvil":{"number":"3","hash":"` + strange.String() + `"}}`, 0, 32},
		"canonical":                {s.at(30), 31, 32},
		"canonical, other network": {strings.Replace(s.at(30), "{", `{"base":{"number":1,"hash":"`+strange.String()+`"},`, 1), 31, 32},
		"orphaned":                 {orphaned, 16, 32},
		"orphaned twice":           {deep, 16, 32},
		"unknown":                  {cursor(28, strange), 28, 32},
		"unknown at the head":      {cursor(32, strange), 32, 32},
		"unknown at the start":     {cursor(0, strange), 0, 32},
		"probe":                    {cursor(12, block.Hash{}), 12, 32},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { s.expect(t, s.follow(t, blocks, test.resume), test.first, test.last) })
	}
	for name, networks := range map[string]string{`{}`: "[]", `{"base":{"number":3,"hash":"` + strange.String() + `"}}`: "[base]"} {
		_, err := s.follow(t, blocks, name).next(t)
		want := "streaming query execution error | Caused by: failed to convert cursor -> expected cursor for network 'anvil', " +
			"but cursor only contains networks: " + networks
		if status.Code(err) != codes.Internal || status.Convert(err).Message() != want {
			t.Errorf("cursor %s ends with %v", name, err)
		}
	}
	atHead, above := s.follow(t, blocks, s.at(32)), s.follow(t, blocks, cursor(35, strange))
	s.chain.Grow(1)
	s.expect(t, atHead, 33, 33)
	s.chain.Grow(2)
	s.expect(t, above, 35, 35)
	s.chain.Forget()
	s.expect(t, s.follow(t, blocks, orphaned), 30, 35)
}

// TestLag: the slowest table bounds a stream, and a cursor that a table has not
// reached means silence (AP 3.4).
func TestLag(t *testing.T) {
	s := liveServer(t, 21, func(o *server.Options) { o.Faults.Lag = map[string]uint64{"logs": 3, "blocks": 1} })
	f := s.follow(t, logs, s.at(20))
	s.expect(t, s.follow(t, logs, s.at(10)), 11, 17)
	union := "SELECT _block_num, hash FROM ds.blocks UNION ALL SELECT _block_num, block_hash FROM ds.logs"
	both := s.follow(t, union, "")
	if m := s.expect(t, both, 0, 17); !slices.Equal(m.numbers(), blocksOf(0, 17, 11)) {
		t.Errorf("the rows are of %v", m.numbers())
	}
	s.chain.Grow(4)
	s.expect(t, f, 21, 21)
	s.fork(t, 6, 0) // blocks 19 to 24
	s.expect(t, f, 19, 21)
	s.set(t, noFaults)
	s.expect(t, f, 22, 24)
}

// TestBelowTheStart: cursors below the first block get nothing, ever; what the
// others get meanwhile shows that the server is well.
func TestBelowTheStart(t *testing.T) {
	s := liveFrom(t, 10, 5, func(*server.Options) {})
	below := []*tail{s.follow(t, blocks, cursor(3, block.Hash{0xee})), s.follow(t, blocks, s.at(9))}
	f := s.follow(t, blocks, "")
	m := s.expect(t, f, 10, 14)
	if m.of.Prev.IsZero() {
		t.Error("the block before the first has no hash")
	}
	s.fork(t, 4, 1)
	s.expect(t, f, 11, 15)
	s.Faults.Fail(codes.Internal, "enough")
	for _, b := range below {
		if _, err := b.next(t); status.Convert(err).Message() != "enough" || b.schema != nil {
			t.Errorf("ends with %v", err)
		}
	}
}
