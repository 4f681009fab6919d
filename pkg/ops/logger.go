package ops

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// LogOptions are the flags every command has.
type LogOptions struct {
	Level  string // trace, debug, info (default), warn, error
	Format string // auto (default): console on a terminal, else json
}

// Logger makes the process's logger. Its lines are for people when out leads to
// a terminal, and JSON otherwise.
func Logger(out io.Writer, terminal bool, o LogOptions) (zerolog.Logger, error) {
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
		if terminal {
			w = console(out, terminal, level)
		}
	case "console":
		w = console(out, terminal, level)
	case "json":
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q is not one of auto, console, json", o.Format)
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Size returns the columns and lines of the terminal f, or zeros if it is none.
func Size(f *os.File) (columns, lines int) {
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, lines
}

// console writes lines for people. What is longer than a terminal shows is cut, unless
// everything is to be said.
func console(out io.Writer, terminal bool, level zerolog.Level) io.Writer {
	w := zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: !terminal, FieldsExclude: []string{ProgressField}}
	w.FormatPrepare = func(fields map[string]any) error {
		for name, value := range fields {
			text, ok := value.(string)
			if !ok || name == stackField {
				continue
			}
			text = oneLine(text)
			if level > zerolog.DebugLevel {
				text = shorten(text)
			}
			fields[name] = text
		}
		return nil
	}
	return w
}

// ProgressField is the field of a line that holds progress as an object. People are not
// shown it: the message says the same.
const ProgressField = "progress"

// stackField is the field of a line that holds a stack, of many lines.
const stackField = "stack"
