package progress

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// Screen shows the state of things to a person beside the lines of a log: on a
// terminal one line that is rewritten in place below the log, elsewhere a new
// line every 15 seconds. It is safe for concurrent use.
type Screen struct {
	Out      io.Writer
	Terminal bool
	Width    int           // of the terminal, in characters; default 120
	Every    time.Duration // default 250 ms on a terminal, 15 s elsewhere

	mu    sync.Mutex
	shown bool // a line stands on the terminal
}

const clearLine = "\r\x1b[K"

// Write passes text, whole lines, on to the output, above the line that is
// shown. A Screen is the output of a logger.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.Out.Write(text)
}

// Finish clears the line: what follows on the terminal is for good. A nil Screen
// shows nothing anyway.
func (s *Screen) Finish() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

// Run shows lines until ctx ends; on a terminal the last is then cleared.
func (s *Screen) Run(ctx context.Context, line func() string) {
	if s == nil {
		<-ctx.Done()
		return
	}
	every := s.Every
	if every <= 0 {
		every = 15 * time.Second
		if s.Terminal {
			every = 250 * time.Millisecond
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Finish()
			return
		case <-tick.C:
			s.show(line())
		}
	}
}

func (s *Screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Terminal {
		s.print(line + "\n")
		return
	}
	width := s.Width
	if width <= 0 {
		width = 120
	}
	if runes := []rune(strings.ReplaceAll(line, "\n", " ")); len(runes) >= width {
		line = string(runes[:width-1]) + "…"
	}
	s.print(clearLine + line)
	s.shown = true
}

func (s *Screen) clear() {
	if s.shown {
		s.print(clearLine)
		s.shown = false
	}
}

// print shows text; a person who has closed the terminal does not miss it.
func (s *Screen) print(text string) { _, _ = io.WriteString(s.Out, text) }
