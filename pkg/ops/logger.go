package ops

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// LogOptions are the flags every command has.
type LogOptions struct {
	Level    string    // trace, debug, info (default), warn, error
	LevelVar *LevelVar // the level instead, if it may change; nil: Level stays
	Format   string    // auto (default): console on a terminal, else json
}

// Logger makes the process's logger. Its lines are for people when out leads to
// a terminal, and JSON otherwise.
func Logger(out io.Writer, terminal bool, o LogOptions) (zerolog.Logger, error) {
	level := o.LevelVar
	if level == nil {
		level = &LevelVar{}
	}
	if o.Level != "" {
		err := level.Set(o.Level)
		if err != nil {
			return zerolog.Nop(), err
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
	log := zerolog.New(w).With().Timestamp().Logger()
	if o.LevelVar == nil {
		return log.Level(level.get()), nil
	}
	return log.Hook(level), nil
}

// LevelVar is the level of a logger that may change while it is used. The zero value is info.
// It is safe for concurrent use.
type LevelVar struct {
	fromInfo atomic.Int32
}

// Set sets the level by its name.
func (l *LevelVar) Set(name string) error {
	level, err := zerolog.ParseLevel(name)
	if err != nil || name == "" {
		return fmt.Errorf("log level %q is not one of trace, debug, info, warn, error", name)
	}
	l.fromInfo.Store(int32(level - zerolog.InfoLevel))
	return nil
}

func (l *LevelVar) get() zerolog.Level { return zerolog.InfoLevel + zerolog.Level(l.fromInfo.Load()) }

// Run drops a line that is below the level. It implements zerolog.Hook.
func (l *LevelVar) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if level < l.get() {
		e.Discard()
	}
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
func console(out io.Writer, terminal bool, level *LevelVar) io.Writer {
	w := zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: !terminal, FieldsExclude: []string{ProgressField}}
	w.FormatPrepare = func(fields map[string]any) error {
		for name, value := range fields {
			text, ok := value.(string)
			if !ok || name == stackField {
				continue
			}
			text = oneLine(text)
			if level.get() > zerolog.DebugLevel {
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
