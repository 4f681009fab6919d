package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/page"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// facts are those of a pipeline that loads partitions of 100 blocks, of which the first is
// not read yet and the second has failed.
func facts(partitions int) status.Facts {
	end := block.Number(partitions * 100)
	f := status.Facts{
		Name: "eth-logs", Now: now,
		Spec: &state.Spec{Epoch: 1, History: block.Range{End: end}, Live: &state.Origin{Start: end}, Sinks: []string{"lake", "warehouse"}},
		Log:  queue.LogState{Messages: 20, Bytes: 1 << 20, MaxBytes: 1 << 30}, Tasks: queue.Load{Held: 1},
		Processes: []state.Process{{
			Role: "run", Host: "node-1", PID: 77, Version: "v1.2.3", Stages: []string{"planner", "extractor", "sink lake", "sink warehouse"},
			Started: now.Add(-time.Hour), Beat: now.Add(-2 * time.Second), Read: state.Rate{PerSec: 1234},
			Reading: []block.Range{{End: 100}},
		}},
		Position: state.LivePosition{Epoch: 1, Next: end + 10, Phase: state.LiveRunning, Reorgs: 1,
			Recent: []state.Reorg{{At: now.Add(-time.Minute), From: end + 7, Blocks: 3}}},
	}
	for i := range partitions {
		p := state.Partition{Start: block.Number(i * 100), End: block.Number(i*100 + 100), State: state.PartitionDone, Rows: 100}
		switch i {
		case 0:
			p.State = state.PartitionOpen
		case 1:
			p.State, p.Attempts, p.Error = state.PartitionFailed, 3, `column "name" holds <script>alert(1)</script>`
		}
		f.Parts = append(f.Parts, p)
	}
	for _, name := range f.Spec.Sinks {
		f.Sinks = append(f.Sinks, status.SinkFacts{Name: name, Reported: now, Report: state.SinkReport{
			Name: name, State: state.SinkRunning, Updated: now, Coverage: block.NewSet(block.Range{Start: 200, End: end}),
		}})
	}
	return f
}

func viewOf(all ...status.Facts) page.View {
	var v page.View
	var pipelines []status.Pipeline
	for _, f := range all {
		pipelines = append(pipelines, status.Build(f, status.Options{}))
		v.Details = append(v.Details, status.NewDetail(f, page.Pieces))
	}
	v.Overview = status.Summarize(pipelines)
	return v
}

// site is a page that is served.
type site struct {
	*testing.T
	url  string
	stop func() // ends the server

	mu   sync.Mutex
	view page.View
	hold chan struct{} // looks wait until it is closed; nil: they do not
}

func serve(t *testing.T, v page.View) *site {
	t.Helper()
	return serveWith(t, v, page.Options{})
}

func serveWith(t *testing.T, v page.View, o page.Options) *site {
	t.Helper()
	s := &site{T: t, view: v}
	server := page.New(func(ctx context.Context) page.View {
		s.mu.Lock()
		hold := s.hold
		s.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-ctx.Done():
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.view
	}, o)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	s.url = "http://" + listener.Addr().String()
	return s
}

// holdLooks makes looks wait until release is called.
func (s *site) holdLooks() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return func() { close(hold) }
}

func (s *site) show(v page.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
}

// get asks for a path with further headers, "Host" among them.
func (s *site) get(path string, headers ...string) (*http.Response, string) {
	s.Helper()
	return s.ask(http.MethodGet, path, "", headers...)
}

// post sends a form with further headers. A redirection is not followed.
func (s *site) post(path, form string, headers ...string) (*http.Response, string) {
	s.Helper()
	return s.ask(http.MethodPost, path, form, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (s *site) ask(method, path, body string, headers ...string) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Host = r.Header.Get("Host")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer, string(text)
}

var tag = regexp.MustCompile(`<[^>]*>`)

// words returns what a person reads of a page.
func words(html string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("&#34;", `"`, "&lt;", "<", "&gt;", ">").Replace(tag.ReplaceAllString(html, " "))), " ")
}

// update is what a browser is sent.
type update struct {
	Version  string
	Sections []struct{ ID, HTML string }
	Charts   []struct {
		Pipeline string
		Lines    []string
		Rates    [][]*float64
		Lags     [][]*float64
	}
}

// watch opens the events of a page, and returns a function that waits for the next one.
func (s *site) watch() (next func() update, leave func()) {
	s.Helper()
	ctx, leave := context.WithCancel(s.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/events", nil)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		leave()
		_ = answer.Body.Close()
	})
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		s.Fatalf("%s %v", answer.Status, answer.Header)
	}
	lines := bufio.NewReader(answer.Body)
	return func() (u update) {
		s.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				s.Fatal(err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &u); err != nil {
					s.Fatal(err)
				}
				return u
			}
		}
	}, leave
}
