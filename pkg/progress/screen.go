package progress

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Screen shows the state of things to a person at a terminal, below the lines of a log:
// a block of lines that is rewritten in place. Without a terminal it shows
// nothing, and passes the lines of the log on. It is safe for concurrent use.
type Screen struct {
	Out      io.Writer
	Terminal bool
	Size     func() (Columns, lines int) // of the terminal, now; 0: unknown
	Every    time.Duration               // default 250 ms

	mu    sync.Mutex
	shown []string // the lines that stand on the terminal
}

// What is taken for a terminal of unknown size.
const (
	defaultColumns = 80
	defaultLines   = 24
)

// Write passes text, whole lines, on to the output, above the block that is shown. A
// Screen is the output of a logger.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shown) == 0 {
		return s.Out.Write(text)
	}
	s.print(s.clearing() + string(text) + strings.Join(s.shown, "\n")) // in one piece, so that nothing flickers
	return len(text), nil
}

// Finish clears the block: what follows on the terminal is for good. A nil Screen
// shows nothing anyway.
func (s *Screen) Finish() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shown) > 0 {
		s.print(s.clearing())
		s.shown = nil
	}
}

// Run shows a block, made for so many columns, until ctx ends, and clears the last.
func (s *Screen) Run(ctx context.Context, block func(Columns int) []string) {
	if s == nil || !s.Terminal {
		<-ctx.Done()
		return
	}
	every := s.Every
	if every <= 0 {
		every = 250 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Finish()
			return
		case <-tick.C:
			wide, _ := s.size()
			s.show(block(wide))
		}
	}
}

func (s *Screen) show(block []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wide, high := s.size()
	block = slices.Clone(block)
	if most := max(1, high-1); len(block) > most { // what has left the screen above cannot be cleared
		block[most-1] = Fit(fmt.Sprintf("… %d more lines: the terminal is too low", len(block)-most+1), wide-1)
		block = block[:most]
	}
	s.print(s.clearing() + strings.Join(block, "\n"))
	s.shown = block
}

// clearing returns what removes the lines that are shown and puts the cursor where the
// first began. In a terminal that has become narrower, each may take several rows.
func (s *Screen) clearing() string {
	if len(s.shown) == 0 {
		return ""
	}
	wide, _ := s.size()
	rows := 0
	for _, line := range s.shown {
		rows += max(1, (Columns(line)+wide-1)/wide)
	}
	up := ""
	if rows > 1 {
		up = fmt.Sprintf("\x1b[%dA", rows-1)
	}
	return "\r" + up + "\x1b[J"
}

func (s *Screen) size() (wide, high int) {
	if s.Size != nil {
		wide, high = s.Size()
	}
	if wide <= 0 {
		wide = defaultColumns
	}
	if high <= 0 {
		high = defaultLines
	}
	return wide, high
}

// print shows text; a person who has closed the terminal does not miss it.
func (s *Screen) print(text string) { _, _ = io.WriteString(s.Out, text) }
