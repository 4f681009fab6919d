package progress_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
)

// terminal shows what is written to it as a terminal does that breaks lines anew when it
// is resized. Its characters are one column wide.
type terminal struct {
	mu         sync.Mutex
	wide, high int
	lines      []string // whole, as they were written
	row, col   int      // of the cursor: in lines, and in that line
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([AJ])`)

func (t *terminal) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := string(text); rest != ""; {
		if m := control.FindStringSubmatch(rest); m != nil {
			n, _ := strconv.Atoi(m[1])
			t.control(max(n, 1), m[2])
			rest = rest[len(m[0]):]
			continue
		}
		r := []rune(rest)[0]
		rest = rest[len(string(r)):]
		switch r {
		case '\r':
			t.col -= t.col % t.wide // of the row that the line is broken into
		case '\n':
			t.row, t.col = t.row+1, 0
		default:
			t.put(r)
		}
	}
	return len(text), nil
}

func (t *terminal) put(r rune) {
	for len(t.lines) <= t.row {
		t.lines = append(t.lines, "")
	}
	line := []rune(t.lines[t.row])
	t.lines[t.row] = string(append(line[:min(t.col, len(line))], r))
	t.col++
}

// rows returns how many rows line i takes.
func (t *terminal) rows(i int) int {
	return max(1, (len([]rune(t.lines[i]))+t.wide-1)/t.wide)
}

func (t *terminal) control(n int, what string) {
	if what == "J" {
		if t.row < len(t.lines) {
			line := []rune(t.lines[t.row])
			t.lines = append(t.lines[:t.row], string(line[:min(t.col, len(line))]))
		}
		return
	}
	for range n {
		switch {
		case t.col >= t.wide:
			t.col -= t.wide
		case t.row > 0:
			t.row--
			t.col += (t.rows(t.row) - 1) * t.wide
		}
	}
}

func (t *terminal) resize(wide, high int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wide, t.high = wide, high
}

func (t *terminal) size() (int, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wide, t.high
}

func (t *terminal) shows() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

func TestScreenShowsABlockBelowTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := &terminal{wide: 40, high: 10}
		screen := &progress.Screen{Out: term, Terminal: true, Size: term.size}
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		var run sync.WaitGroup
		run.Go(func() {
			screen.Run(ctx, func(Columns int) []string {
				n++
				return []string{"first", strings.Repeat("x", Columns-1), fmt.Sprintf("drawn %d", n)}
			})
		})
		var want []string
		check := func(when string, wide int) {
			t.Helper()
			time.Sleep(260 * time.Millisecond)
			synctest.Wait()
			got := term.shows()
			block := []string{"first", strings.Repeat("x", wide-1), fmt.Sprintf("drawn %d", n)}
			if !slices.Equal(got, append(slices.Clone(want), block...)) {
				t.Fatalf("%s:\n%s", when, strings.Join(got, "\n"))
			}
		}
		logs := func(text string) {
			want = append(want, text)
			if _, err := screen.Write([]byte(text + "\n")); err != nil {
				t.Error(err)
			}
		}
		logs("before the block")
		check("drawn", 40)
		logs("above the block")
		check("below the log", 40)
		for _, wide := range []int{20, 13, 120, 60} {
			term.resize(wide, 10)
			logs(fmt.Sprintf("at %d", wide))
			check(fmt.Sprintf("resized to %d", wide), wide)
		}
		cancel()
		run.Wait()
		if got := term.shows(); !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return s == "" }), want) {
			t.Errorf("at the end:\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestScreenIsNotHigherThanTheTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := &terminal{wide: 60, high: 4}
		screen := &progress.Screen{Out: term, Terminal: true, Size: term.size}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go screen.Run(ctx, func(int) []string { return []string{"1", "2", "3", "4", "5"} })
		time.Sleep(time.Second)
		synctest.Wait()
		want := []string{"1", "2", "… 3 more lines: the terminal is too low"}
		if got := term.shows(); !slices.Equal(got, want) {
			t.Errorf("shows %q", got)
		}
	})
}

// TestBlockFits: at every width all of what matters is there, and no line is too long.
func TestBlockFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"warehouse", "archive", "cache", "lake", "データ湖"}
		m := progress.NewMeter(names...)
		m.Planned(block.Range{Start: 0, End: 10_000_000}, block.Set{})
		for _, name := range names {
			m.Covered(name, 0)
		}
		time.Sleep(time.Minute)
		for i, name := range names {
			m.Published(block.Range{Start: 0, End: 5_000_000}, 960_000, 1)
			m.Applied(name, 940_000)
			m.Behind(name, time.Duration(i)*time.Second)
			m.Covered(name, 4_100_000)
			m.Reached(name, 19_876_543, time.Now().Add(-time.Second))
		}
		m.Stopped("archive", "block 17,000,000: row 3, column data: value too long for type character varying(66)")
		m.Waiting("sink cache", "dial tcp 10.0.0.7:6379: connect: connection refused; is Redis running, and may this machine reach it?")
		for _, wide := range []int{40, 60, 80, 120, 200} {
			lines := m.Snapshot().Block("eth-logs", wide)
			text := strings.Join(lines, "\n")
			for _, line := range lines {
				if n := terminalColumns(line); n >= wide {
					t.Errorf("%d columns of %d: %q", n, wide, line)
				}
			}
			flat := strings.Join(strings.Fields(text), " ")
			wants := []string{
				"eth-logs a sink has stopped", "connection refused", "STOPPED: block 17,000,000", "41 %", "left", "19,876,543",
				"warehouse 940k rows/s", "lake 940k rows/s", "データ湖 940k rows/s", "behind",
			}
			if wide >= 80 {
				wants = append(wants, "character varying(66)", "may this machine reach it?", "█", "4.1M/10M blocks", "3.0 s behind")
			}
			for _, want := range wants {
				if !strings.Contains(flat, want) {
					t.Errorf("at %d columns %q is not in\n%s", wide, want, text)
				}
			}
			t.Logf("%d columns:\n%s", wide, text)
		}
	})
}

// terminalColumns counts the columns of a text; these are the only wide characters here.
func terminalColumns(text string) (n int) {
	for _, r := range text {
		n++
		if strings.ContainsRune("データ湖", r) {
			n++
		}
	}
	return n
}

// TestTeller tells every 15 s, and when the state changes.
func TestTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := progress.NewMeter("lake")
		var told []string
		began := time.Now()
		look := m.ProgressLogger(func(s progress.Snapshot) {
			told = append(told, fmt.Sprintf("%v %s", time.Since(began), s.State))
		})
		pass := func(d time.Duration) {
			for range int(d / time.Second) {
				time.Sleep(time.Second)
				look()
			}
		}
		pass(3 * time.Second)
		m.Planned(block.Range{Start: 0, End: 10}, block.Set{})
		m.Covered("lake", 0)
		pass(20 * time.Second)
		m.Stopped("lake", "block 7: too large")
		pass(2 * time.Second)
		want := []string{"4s loading", "19s loading", "24s a sink has stopped"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
