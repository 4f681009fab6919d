package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chainServer serves a chain of 400 blocks and 100 logs each as dataset ds.
func chainServer(t testing.TB, change func(*server.Options)) *client {
	t.Helper()
	config := chain.DefaultConfig()
	config.Blocks, config.Logs, config.Transactions = 400, 100, 5
	c, err := chain.New(config)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Catalog: new(table.Catalog)}
	if err := o.Catalog.Add(chain.NewDataset(c, table.Ref{Namespace: "_", Name: "ds", Revision: "latest"})); err != nil {
		t.Fatal(err)
	}
	change(&o)
	return start(t, o)
}

func nothing(*server.Options) {}

const (
	logs    = "SELECT * FROM ds.logs"
	ordered = logs + " WHERE _block_num >= 0 ORDER BY _block_num"
	rowsAll = 40_000
)

// set changes the switches of a server.
func (c *client) set(t *testing.T, s faults.Switches) {
	t.Helper()
	if err := c.Faults.Set(s); err != nil {
		t.Fatal(err)
	}
}

// numbers returns the block numbers of an answer as they come.
func numbers(t *testing.T, r reply) []uint64 {
	t.Helper()
	var all []uint64
	for _, b := range decode(t, r.data) {
		all = append(all, b.Column(0).(*array.Uint64).Uint64Values()...)
	}
	return all
}

func TestBehaves(t *testing.T) {
	s := chainServer(t, nothing)
	for _, query := range []string{logs, ordered} {
		r, err := s.ask(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, r); len(got) != rowsAll || !slices.IsSorted(got) {
			t.Errorf("%s: %d rows, sorted %v", query, len(got), slices.IsSorted(got))
		}
		for _, m := range r.data {
			if len(m.DataBody) > 2<<20 {
				t.Errorf("a message of %d bytes", len(m.DataBody))
			}
		}
	}
	if stats := s.Faults.Stats(); stats.Rows != 2*rowsAll || stats.Streams != 2 || stats.Infos != 2 || stats.Open != 0 || stats.Bytes < 2*rowsAll*300 {
		t.Errorf("stats are %+v", stats)
	}
}

func TestTicketsAreRedeemedAgain(t *testing.T) {
	s := chainServer(t, nothing)
	first, err := s.ask(t.Context(), logs)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.redeem(t.Context(), first.info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(first.data) || !bytes.Equal(again[1].DataBody, first.data[1].DataBody) {
		t.Error("the second answer differs")
	}
	other, err := s.ask(t.Context(), logs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.info.Endpoint[0].Ticket.Ticket, other.info.Endpoint[0].Ticket.Ticket) {
		t.Error("the ticket is not the same for the same query")
	}
}

func TestShuffle(t *testing.T) {
	s := chainServer(t, func(o *server.Options) { o.Faults.Shuffle = true })
	shuffled, err := s.ask(t.Context(), logs)
	if err != nil {
		t.Fatal(err)
	}
	sorted, err := s.ask(t.Context(), ordered)
	if err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, sorted); !slices.IsSorted(got) || len(got) != rowsAll {
		t.Error("an ordered query was shuffled")
	}
	if slices.IsSorted(numbers(t, shuffled)) {
		t.Error("an unordered query was not shuffled")
	}
	if !slices.Equal(rowTexts(t, shuffled.data, true), rowTexts(t, sorted.data, true)) {
		t.Error("shuffling changed the rows")
	}
	s.set(t, faults.Switches{Unsorted: true})
	unsorted, err := s.ask(t.Context(), ordered)
	if err != nil {
		t.Fatal(err)
	}
	if got := numbers(t, unsorted); slices.IsSorted(got) || len(got) != rowsAll {
		t.Error("an ordered query came sorted")
	}
}

func TestOversize(t *testing.T) {
	s := chainServer(t, func(o *server.Options) { o.Faults.Oversize = 5 << 20 })
	r, err := s.ask(t.Context(), ordered)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.data[1].DataBody) < 5<<20 {
		t.Errorf("the first message has %d bytes", len(r.data[1].DataBody))
	}
	if got := numbers(t, r); !slices.IsSorted(got) || len(got) != rowsAll {
		t.Errorf("%d rows", len(got))
	}
}

func TestHead(t *testing.T) {
	s := chainServer(t, nothing)
	for _, head := range []block.Number{0, 123, 398, 399, 1000} {
		s.set(t, faults.Switches{Head: &head})
		for _, query := range []string{ordered, logs + " WHERE true"} { // a scan, and DuckDB
			r, err := s.ask(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			last := min(head, 399)
			if got := metadata(t, r.data[1]).Ranges[0]; got.Numbers.Last() != last {
				t.Errorf("head %d: the range ends at %d", head, got.Numbers.Last())
			}
			if rows := len(numbers(t, r)); rows != 100*int(last+1) {
				t.Errorf("head %d: %d rows", head, rows)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	s := chainServer(t, nothing)
	unavailable := faults.Code(codes.Unavailable)
	s.set(t, faults.Switches{Status: &faults.Status{At: "info", Code: unavailable, Text: "not now", Times: 2}})
	for i := range 3 {
		_, err := s.ask(t.Context(), logs)
		if refused := status.Code(err) == codes.Unavailable && status.Convert(err).Message() == "not now"; refused != (i < 2) {
			t.Errorf("call %d ends with %v", i, err)
		}
	}
	s.set(t, faults.Switches{Status: &faults.Status{At: "doget", Code: unavailable, Text: "not now", After: 3}})
	for range 2 {
		r, err := s.ask(t.Context(), logs)
		var ended *endError
		if !errors.As(err, &ended) || status.Code(ended.error) != codes.Unavailable {
			t.Errorf("ends with %v", err)
		}
		if len(r.data) != 1+3 {
			t.Errorf("%d messages came first", len(r.data))
		}
	}
	if got := s.Faults.Stats().Refused; got != 4 {
		t.Errorf("%d calls counted as refused", got)
	}
}

func TestDrop(t *testing.T) {
	s := chainServer(t, func(o *server.Options) { o.Faults = faults.Switches{DropAfter: 4, DropEvery: 2} })
	for i := range 4 {
		r, err := s.ask(t.Context(), logs)
		if i%2 == 0 {
			if err != nil || len(numbers(t, r)) != rowsAll {
				t.Fatalf("stream %d: %v", i, err)
			}
			continue
		}
		if code := status.Code(errors.Unwrap(err)); code != codes.Unavailable {
			t.Errorf("stream %d ends with %v", i, err)
		}
		if len(r.data) != 1+4 {
			t.Errorf("stream %d: %d messages before the connection was cut", i, len(r.data))
		}
	}
	if got := s.Faults.Stats().Dropped; got != 2 {
		t.Errorf("%d connections counted as cut", got)
	}
}

func TestTooMuch(t *testing.T) {
	s := chainServer(t, nothing)
	tests := []struct {
		switches faults.Switches
		where    string
		refused  bool
	}{
		{faults.Switches{MaxBlocks: 10}, "_block_num >= 5 AND _block_num < 15", false},
		{faults.Switches{MaxBlocks: 10}, "_block_num >= 5 AND _block_num < 16", true},
		{faults.Switches{MaxBlocks: 10}, "_block_num >= 395 AND _block_num < 1000", false},
		{faults.Switches{MaxRows: 1000}, "_block_num >= 5 AND _block_num < 15", false},
		{faults.Switches{MaxRows: 1000}, "_block_num >= 5 AND _block_num < 16 AND log_index % 2 = 0", true},
	}
	for _, test := range tests {
		s.set(t, test.switches)
		_, err := s.ask(t.Context(), logs+" WHERE "+test.where)
		if (status.Code(err) == codes.ResourceExhausted) != test.refused && (status.Code(errors.Unwrap(err)) == codes.ResourceExhausted) != test.refused {
			t.Errorf("%s with %+v ends with %v", test.where, test.switches, err)
		}
	}
}

func TestHoldBackAndPace(t *testing.T) {
	s := chainServer(t, func(o *server.Options) { o.Faults.HoldBack = true })
	r, err := s.ask(t.Context(), ordered)
	if err != nil || len(numbers(t, r)) != rowsAll {
		t.Fatalf("held back: %v", err)
	}
	// 10 blocks are about 300 kB: at 1.5 MB/s they take a fifth of a second.
	s.set(t, faults.Switches{Bandwidth: 1_500_000, Latency: faults.Duration(30 * time.Millisecond)})
	began := time.Now()
	r, err = s.ask(t.Context(), logs+" WHERE _block_num < 10")
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, m := range r.data[1:] {
		bytes += len(m.DataHeader) + len(m.DataBody) + len(m.AppMetadata)
	}
	least := 60*time.Millisecond + time.Duration(float64(bytes)/1_500_000*float64(time.Second))
	if took := time.Since(began); took < least {
		t.Errorf("took %v, at least %v was asked for", took, least)
	}
	// A message is there when all of it would have come, and not before.
	began = time.Now()
	stream, err := s.flight.DoGet(t.Context(), r.info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.DataBody); n > 0 {
			least = time.Duration(float64(n) / 1_500_000 * float64(time.Second))
			break
		}
	}
	if took := time.Since(began); took < least {
		t.Errorf("the first rows took %v, at least %v was asked for", took, least)
	}
}

func TestControl(t *testing.T) {
	s := chainServer(t, func(o *server.Options) { o.Control = "127.0.0.1:0" })
	api := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	do := func(method, path, body string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, s.ControlURL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := api.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if code, text := do("POST", "/faults", `{"latency": "5ms", "head": 7, "status": {"at": "info", "code": "ABORTED", "text": "x", "times": 1}}`); code != http.StatusOK {
		t.Fatal(text)
	}
	if code, text := do("POST", "/faults", `{"shuffle": true}`); code != http.StatusOK {
		t.Fatal(text)
	}
	got := s.Faults.Switches()
	if got.Latency != faults.Duration(5*time.Millisecond) || got.Head == nil || *got.Head != 7 || !got.Shuffle || got.Status.Code != faults.Code(codes.Aborted) {
		t.Errorf("the switches are %+v", got)
	}
	for _, bad := range []string{`{"nope": 1}`, `{"latency": "x"}`, `{"bandwidth": -1}`, `{"status": {"at": "x", "code": "OK"}}`, `{"status": {"code": "NOPE"}}`, `x`} {
		if code, _ := do("POST", "/faults", bad); code != http.StatusBadRequest {
			t.Errorf("%s gives %d", bad, code)
		}
	}
	if s.Faults.Switches().Head == nil {
		t.Error("a refused change changed something")
	}
	if _, err := s.ask(t.Context(), logs); status.Code(err) != codes.Aborted {
		t.Errorf("ends with %v", err)
	}
	var stats faults.Stats
	if _, text := do("GET", "/stats", ""); json.Unmarshal([]byte(text), &stats) != nil || stats.Refused != 1 || stats.Infos != 1 {
		t.Errorf("stats are %s", text)
	}
	if _, text := do("DELETE", "/faults", ""); !strings.Contains(text, `"head":null`) || s.Faults.Switches().Shuffle {
		t.Errorf("set back, the switches are %s", text)
	}
}

var noFaults faults.Switches
