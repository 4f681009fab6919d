package ops

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// Reporter prints what a process ends with: each error that was joined into it as a line
// of its own.
type Reporter struct {
	Out  io.Writer
	JSON bool // each line is a JSON object, with the whole text
	Full bool // the whole text also for people
}

// findingsError is an error of a command that checks many things.
type findingsError struct{ error }

func (e findingsError) Unwrap() error { return e.error }

// Findings marks the errors joined into err as all that was found: how many they are,
// and the exit code, are printed behind them.
func Findings(err error) error {
	if err == nil {
		return nil
	}
	return findingsError{err}
}

// Report prints err, with which a process ends that has this exit code.
func (r Reporter) Report(err error, code int) {
	all := slices.DeleteFunc(Split(err), func(one error) bool { return errors.Is(one, ErrSaid) })
	for _, one := range all {
		r.line(oneLine(one.Error()), ExitCode(one), nil)
	}
	if _, counted := errors.AsType[findingsError](err); counted {
		noun := "findings"
		if len(all) == 1 {
			noun = "finding"
		}
		r.line(fmt.Sprintf("%d %s; exit code %d", len(all), noun, code), code, func(e *zerolog.Event) { e.Int("findings", len(all)) })
	}
}

// Panic prints a panic that has reached the top, and where it was.
func (r Reporter) Panic(value any, stack []byte) {
	text := "ampipe has a bug: panic: " + oneLine(fmt.Sprint(value)) + "; report it with the stack"
	if r.JSON {
		r.line(text, ExitFailed, func(e *zerolog.Event) { e.Str("stack", string(stack)) })
		return
	}
	_, _ = fmt.Fprintf(r.Out, "ampipe: %s\n\n%s\n", text, stack) // there is no other place to report it
}

func (r Reporter) line(text string, code int, more func(*zerolog.Event)) {
	if r.JSON {
		log := zerolog.New(r.Out)
		e := log.Error().Timestamp().Int("exit_code", code)
		if more != nil {
			more(e)
		}
		e.Msg(text)
		return
	}
	if !r.Full {
		text = shorten(text)
	}
	_, _ = fmt.Fprintln(r.Out, "ampipe: "+text) // there is no other place to report it
}

// Split returns the errors that were joined into err, each with its exit code. What was
// joined and then wrapped is one.
func Split(err error) []error {
	if err == nil {
		return nil
	}
	switch e := err.(type) {
	case findingsError:
		return Split(e.error)
	case *ExitError:
		all := Split(e.Err)
		for i, one := range all {
			all[i] = &ExitError{Code: e.Code, Err: one}
		}
		return all
	case interface{ Unwrap() []error }:
		var all []error
		var texts []string
		for _, one := range e.Unwrap() {
			all = append(all, Split(one)...)
			texts = append(texts, one.Error())
		}
		if err.Error() == strings.Join(texts, "\n") { // nothing was said beside them
			return all
		}
	}
	return []error{err}
}

var lineEnds = regexp.MustCompile(`[ \t]*[\r\n]+\s*`)

// oneLine joins the lines of a text, and takes out what controls a terminal.
func oneLine(text string) string {
	text = lineEnds.ReplaceAllString(strings.TrimSpace(text), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// longest is how many bytes of a text a person is shown at once.
const longest = 1500

// shorten cuts the middle out of a text that is longer than a terminal shows: what is
// wrong is mostly said at its begin, and what to do at its end.
func shorten(text string) string {
	if len(text) <= longest {
		return text
	}
	const end = longest / 3
	head, tail := longest-end, len(text)-end
	for !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return fmt.Sprintf("%s … (%d bytes more; --log-level debug shows them) … %s", text[:head], tail-head, text[tail:])
}
