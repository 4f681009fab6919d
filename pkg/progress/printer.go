package progress

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Printer shows lines to a person: one that is rewritten in place on a
// terminal, a new one every 15 seconds elsewhere.
type Printer struct {
	Out      io.Writer
	Terminal bool
	Width    int           // of the terminal, in characters; default 120
	Every    time.Duration // default 250 ms on a terminal, 15 s elsewhere
}

// Run prints until ctx ends; on a terminal the line is then cleared.
func (p Printer) Run(ctx context.Context, line func() string) {
	every := p.Every
	if every <= 0 {
		every = 15 * time.Second
		if p.Terminal {
			every = 250 * time.Millisecond
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if p.Terminal {
				fmt.Fprint(p.Out, "\r\x1b[K")
			}
			return
		case <-tick.C:
			p.print(line())
		}
	}
}

func (p Printer) print(line string) {
	if !p.Terminal {
		fmt.Fprintln(p.Out, line)
		return
	}
	width := p.Width
	if width <= 0 {
		width = 120
	}
	if runes := []rune(strings.ReplaceAll(line, "\n", " ")); len(runes) >= width {
		line = string(runes[:width-1]) + "…"
	}
	fmt.Fprint(p.Out, "\r\x1b[K", line)
}
