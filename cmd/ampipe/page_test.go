package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/status"
)

// TestPage opens the page of a pipeline that runs in one process, and of one whose planner is
// a process of its own, with the rights in NATS that planners have. The port that the page is
// to have is taken.
func TestPage(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { reorg_buffer: 20 }
log: { max_bytes: 64MiB }
page: { listen: $TAKEN, token_file: page.token }
sinks: [ { name: lake, delta: { path: ./lake, max_commit_delay: 1s } } ]
`
	bin := built(t)
	for name, c := range map[string]struct {
		nats     string
		commands [][]string // each with its user in NATS; the first has the page
	}{
		"one process": {"{ embedded: ./nats }", [][]string{{"", executable(t), "run"}}},
		"a process of its stage": {"{ url: \"nats://$NATS\", user: \"${NATS_USER:-operator}\", password: p }",
			[][]string{{"planner", bin + "/planner"}, {"extractor", bin + "/extractor"}, {"sink-lake", bin + "/sink-delta"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "300ms"), vars: map[string]string{}}
			taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = taken.Close() }()
			s.vars["TAKEN"] = taken.Addr().String()
			s.write("page.token", pageToken)
			if strings.Contains(c.nats, "url") {
				rights, err := os.ReadFile("../../deploy/nats/permissions.conf")
				if err != nil {
					t.Fatal(err)
				}
				s.write("permissions.conf", string(rights))
				s.nats(withUsers)
			}
			s.configure(text + "nats: " + strings.ReplaceAll(c.nats, "$NATS", s.vars["NATS"]))
			var first *exec.Cmd
			var out *watched
			for _, command := range c.commands {
				s.env = []string{"NATS_USER=" + command[0]}
				one, said := s.background(command[1], append(command[2:], "--log-format", "json")...)
				if first == nil {
					first, out = one, said
				}
			}

			var said []string
			s.until("the address of the page", func() bool {
				said = regexp.MustCompile(`"url":"(http://127\.0\.0\.1:\d+/)".*"message":"(.*?)"`).FindStringSubmatch(out.String())
				return said != nil
			})
			if want := s.vars["TAKEN"] + " is taken: the page, metrics and health are served at another port"; said[2] != want {
				t.Errorf("of a taken port %q is said, want %q", said[2], want)
			}
			var html string
			s.until("the page of a pipeline that is live", func() bool {
				html = s.fetch(said[1])
				return strings.Contains(html, `<p class="level">healthy</p>`) && strings.Contains(html, "<h1>live; everything loaded; ")
			})
			o := s.overview("live", func(o status.Overview) bool { return o.Level == status.Healthy })
			for _, want := range []string{
				`<h2>logs <`, `aria-label="lake: 100 %"`, `<th scope="row">lake</th><td>live</td>`, fmt.Sprintf("<td>%d</td>", first.Process.Pid),
				o.Pipelines[0].Lines()[0].Value,
			} {
				if !strings.Contains(html, want) {
					t.Errorf("the page lacks %q:\n%s", want, html)
				}
			}
			s.followsTheChain(said[1])
			s.answersProbes(said[1])
			s.pressButtons(said[1])
			if strings.Contains(out.String(), pageToken) {
				t.Error("the log has the token of the page")
			}
			s.listensOnLoopback(first.Process.Pid)
		})
	}
}

// withUsers is the configuration of a NATS server with a user for each process.
const withUsers = `
include ./permissions.conf
accounts {
  AMPIPE {
    jetstream { max_bytes_required: true }
    users: [
      { user: planner, password: p, permissions: $PLANNER_MAY }
      { user: extractor, password: p, permissions: $EXTRACTOR_MAY }
      { user: sink-lake, password: p, permissions: $SINK_LAKE_MAY }
      { user: sink-warehouse, password: p, permissions: $SINK_WAREHOUSE_MAY }
      { user: sink-cache, password: p, permissions: $SINK_CACHE_MAY }
      { user: operator, password: p, permissions: $OPERATOR_MAY }
      { user: monitoring, password: p, permissions: $MONITORING_MAY }
    ]
  }
}
jetstream { store_dir: "$STORE" }
`

// background starts a program in the folder of the site, and kills it at the end of the test.
func (s *site) background(program string, args ...string) (*exec.Cmd, *watched) {
	s.Helper()
	c, out := exec.Command(program, args...), &watched{}
	c.Dir, c.Env = s.dir, append(append(os.Environ(), runsCommand+"=1"), s.env...)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
		if s.Failed() {
			s.Logf("%s %q printed\n%s", filepath.Base(program), args, out.String())
		}
	})
	return c, out
}

// until waits until something is so.
func (s *site) until(what string, isSo func() bool) {
	s.Helper()
	for deadline := time.Now().Add(firstMinute); !isSo(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("%s: it is not there within %v", what, firstMinute)
		}
	}
}

func (s *site) fetch(url string) string {
	s.Helper()
	answer, err := http.Get(url)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(body)
}

// followsTheChain waits until the open page was sent three more blocks.
func (s *site) followsTheChain(url string) {
	s.Helper()
	answer, err := http.Get(url + "events")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	upTo := regexp.MustCompile(`<dt>live</dt><dd>up to block [\d,]+`)
	seen := map[string]bool{}
	lines := bufio.NewReader(answer.Body)
	for deadline := time.Now().Add(firstMinute); len(seen) < 3; {
		line, err := lines.ReadString('\n')
		if err != nil || time.Now().After(deadline) {
			s.Fatalf("only %v were sent: %v", seen, err)
		}
		var news struct{ Sections []struct{ HTML string } }
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &news); err != nil {
			s.Fatal(err)
		}
		for _, section := range news.Sections {
			if block := upTo.FindString(section.HTML); block != "" {
				seen[block] = true
			}
		}
	}
}

// listensOnLoopback checks every port on which a process listens.
func (s *site) listensOnLoopback(pid int) {
	s.Helper()
	sockets := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		s.Fatal(err)
	}
	for _, file := range files {
		target, _ := os.Readlink(file) // it may be closed already
		sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
	}
	listeners := 0
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listens = "0A"
			if len(f) < 10 || f[3] != listens || !sockets[f[9]] {
				continue
			}
			listeners++
			address, _, _ := strings.Cut(f[1], ":")
			if address != "0100007F" && address != "00000000000000000000000001000000" {
				s.Errorf("it listens on %s", f[1])
			}
		}
	}
	if listeners == 0 {
		s.Error("no listener was found, not even that of the page")
	}
}
