package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/pkg/block"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// call uses the control API.
func (c *client) call(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.ControlURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	api := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
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

// TestControlsChain drives a chain over HTTP and sees it in a stream.
func TestControlsChain(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { o.Control = "127.0.0.1:0" })
	f := s.follow(t, blocks, "")
	s.expect(t, f, 0, 2)
	tests := []struct {
		command, body string
		first, last   block.Number
	}{
		{"mine", "", 3, 3}, {"mine", `{"blocks": 4}`, 4, 7}, {"reorg", `{"depth": 2}`, 6, 8}, {"reorg", "", 8, 9},
		{"reorg", `{"depth": 9, "blocks": 5}`, 1, 14},
	}
	for _, test := range tests {
		code, text := s.call(t, "POST", "/chains/anvil/"+test.command, test.body)
		var head struct {
			Number block.Number
			Hash   block.Hash
		}
		if err := json.Unmarshal([]byte(text), &head); code != http.StatusOK || err != nil {
			t.Fatalf("%s %s gives %d %s", test.command, test.body, code, text)
		}
		if m := s.expect(t, f, test.first, test.last); head.Number != test.last || head.Hash != m.of.Hash {
			t.Errorf("%s %s says %s", test.command, test.body, text)
		}
	}
	for _, on := range []string{"pause", "resume"} {
		if _, text := s.call(t, "POST", "/chains/anvil/"+on, ""); strings.Contains(text, `"paused":true`) != (on == "pause") {
			t.Errorf("%s says %s", on, text)
		}
	}
	old := s.at(14)
	s.fork(t, 5, 1)
	s.expect(t, s.follow(t, blocks, old), 10, 15)
	if code, text := s.call(t, "POST", "/chains/anvil/forget", ""); code != http.StatusOK {
		t.Error(text)
	}
	s.expect(t, s.follow(t, blocks, old), 14, 15)
	if _, text := s.call(t, "GET", "/chains/anvil", ""); !strings.Contains(text, `"number":15`) {
		t.Errorf("the chain is %s", text)
	}
	for path, want := range map[string]int{
		"/chains/base/mine": http.StatusNotFound, `/chains/anvil/mine {"blocks":1000000000}`: http.StatusBadRequest,
		`/chains/anvil/reorg {"depth":16}`: http.StatusBadRequest, `/chains/anvil/reorg {"deep":1}`: http.StatusBadRequest,
		`/streams/fail {"code":"OK"}`: http.StatusBadRequest, "/chains/anvil/nope": http.StatusNotFound,
	} {
		path, body, _ := strings.Cut(path, " ")
		if code, text := s.call(t, "POST", path, body); code != want {
			t.Errorf("%s %s gives %d %s", path, body, code, text)
		}
	}
}

// TestKeepAlive: while a microbatch executes, empty batches with its range come
// again and again; a switch that is set back lets the next stream go on.
func TestKeepAlive(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) {
		o.Streaming.KeepAlive = time.Millisecond
		o.Faults.Slow = faults.Duration(time.Hour)
	})
	f := s.follow(t, logs, "")
	for range 10 {
		batch, m, err := f.message(t)
		if err != nil || batch.NumRows() > 0 || m.Complete || len(m.Ranges) != 1 || m.Ranges[0].Numbers != block.Closed(0, 2) {
			t.Fatalf("%+v with %v", m, err)
		}
	}
	s.set(t, noFaults)
	s.expect(t, s.follow(t, logs, ""), 0, 2)
	f.stop()
	for {
		if _, _, err := f.message(t); err != nil {
			if status.Code(err) != codes.Canceled {
				t.Errorf("ends with %v", err)
			}
			break
		}
	}
}

// TestStreamsFail: a status on command reaches streams that are silent and ones
// that are executing; a switch ends a stream after so many batches.
func TestStreamsFail(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { o.Control = "127.0.0.1:0" })
	silent := s.follow(t, blocks, s.at(2))
	s.set(t, faults.Switches{Slow: faults.Duration(time.Hour)})
	busy := s.follow(t, blocks, "")
	if _, _, err := busy.message(t); err != nil {
		t.Fatal(err)
	}
	if code, text := s.call(t, "POST", "/streams/fail", `{"code": "UNAVAILABLE", "text": "later"}`); code != http.StatusOK || !strings.Contains(text, `"streams":2`) {
		t.Errorf("says %s", text)
	}
	for _, f := range []*tail{silent, busy} {
		if _, err := f.next(t); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "later" {
			t.Errorf("ends with %v", err)
		}
	}
	s.set(t, faults.Switches{Status: &faults.Status{At: "doget", Code: faults.Code(codes.Internal), Text: "no more", Times: 1, After: 5}})
	f := s.follow(t, blocks, "")
	s.expect(t, f, 0, 2) // an empty batch, one of rows, and the marker
	s.chain.Grow(1)
	if m, err := f.next(t); status.Convert(err).Message() != "no more" || len(m.rows) != 2 {
		t.Errorf("after %v: ends with %v", m.rows, err)
	}
	s.expect(t, s.follow(t, blocks, s.at(2)), 3, 3)
}

// TestDropMidStream cuts the connection between rows and the marker that would
// complete them (AP 9.5).
func TestDropMidStream(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { o.Faults.DropAfter = 2 })
	if m, err := s.follow(t, blocks, "").next(t); status.Code(err) != codes.Unavailable || !slices.Equal(m.rows, []int{0, 3}) {
		t.Errorf("after %v: ends with %v", m.rows, err)
	}
}

// TestCut: on command every connection is cut, also under streams that are
// silent, and clients may come again.
func TestCut(t *testing.T) {
	s := liveServer(t, 3, func(o *server.Options) { o.Control = "127.0.0.1:0" })
	silent, other := s.follow(t, blocks, s.at(2)), s.follow(t, blocks, "")
	s.expect(t, other, 0, 2)
	if code, text := s.call(t, "POST", "/streams/cut", ""); code != http.StatusOK || !strings.Contains(text, `"connections":1`) {
		t.Errorf("says %s", text)
	}
	for _, f := range []*tail{silent, other} {
		if _, err := f.next(t); status.Code(err) != codes.Unavailable {
			t.Errorf("ends with %v", err)
		}
	}
	s.chain.Grow(1)
	again := client{s.Server, pb.NewFlightServiceClient(dial(t, s.Addr()))}
	s.expect(t, again.follow(t, blocks, s.at(2)), 3, 3)
}

// TestCloseCutsStreams: a server that stops cuts its streams at once (AP 1.1),
// silent and executing ones.
func TestCloseCutsStreams(t *testing.T) {
	stopped := liveServer(t, 3, func(o *server.Options) { o.Faults.Slow = faults.Duration(time.Hour) })
	silent, busy := stopped.follow(t, logs, stopped.at(2)), stopped.follow(t, logs, "")
	if _, _, err := busy.message(t); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range []*tail{silent, busy} {
		if _, err := f.next(t); status.Code(err) != codes.Unavailable {
			t.Errorf("ends with %v", err)
		}
	}
	if open := stopped.Faults.Stats().Open; open != 0 {
		t.Errorf("%d streams are still open", open)
	}
}

// TestSlowConsumer: a client that reads nothing for a while holds its own stream
// up and no other. It then gets the rest of its microbatch as it was frozen, and
// what has become of the chain since.
func TestSlowConsumer(t *testing.T) {
	s := liveServer(t, 4000, func(o *server.Options) { o.Streaming.Window = 3000 })
	narrow := client{s.Server, pb.NewFlightServiceClient(dial(t, s.Addr(), grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16)))}
	slow, quick := narrow.follow(t, logs, ""), s.follow(t, logs, "")
	if _, _, err := slow.message(t); err != nil {
		t.Fatal(err)
	}
	s.expect(t, quick, 0, 2999)
	s.expect(t, quick, 3000, 3999)
	before := s.chain.View()
	s.fork(t, 3500, 1)
	s.expect(t, quick, 500, 3499)
	for rows := 0; ; {
		batch, m, err := slow.message(t)
		if err != nil || m.Ranges[0].Hash != before.Header(2999).Hash {
			t.Fatalf("%+v with %v", m, err)
		}
		rows += int(batch.NumRows())
		if m.Complete {
			if rows != 3000*10 {
				t.Errorf("%d rows came of the microbatch", rows)
			}
			break
		}
	}
	s.expect(t, slow, 500, 3499)
	s.expect(t, slow, 3500, 4000)
}

// TestMiners: a chain that lives by itself does so as long as its server.
func TestMiners(t *testing.T) {
	s := growing(t, 0, 5, chain.Growth{Every: time.Millisecond, ReorgEvery: 3, Depth: chain.Depth{Least: 1, Most: 3}}, func(*server.Options) {})
	f := s.follow(t, blocks, "")
	for range 20 {
		if _, err := f.next(t); err != nil {
			t.Fatal(err)
		}
	}
}
