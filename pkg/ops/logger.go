package ops

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// LogOptions are the flags every command has.
type LogOptions struct {
	Level  string // trace, debug, info (default), warn, error
	Format string // auto (default): console on a terminal, else json
}

// Logger makes the process's logger. It writes to out, whose lines are for
// people when it is a terminal and JSON otherwise.
func Logger(out *os.File, o LogOptions) (zerolog.Logger, error) {
	level := zerolog.InfoLevel
	if o.Level != "" {
		var err error
		if level, err = zerolog.ParseLevel(o.Level); err != nil {
			return zerolog.Nop(), fmt.Errorf("log level %q is not one of trace, debug, info, warn, error", o.Level)
		}
	}
	var w io.Writer = out
	switch o.Format {
	case "", "auto":
		if IsTerminal(out) {
			w = console(out)
		}
	case "console":
		w = console(out)
	case "json":
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q is not one of auto, console, json", o.Format)
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// IsTerminal tells whether f is a terminal.
func IsTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

func console(out *os.File) io.Writer {
	return zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: !IsTerminal(out)}
}
