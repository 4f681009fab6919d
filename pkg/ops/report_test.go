package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

func TestReport(t *testing.T) {
	joined := errors.Join(errors.New("one"), ops.Config(errors.Join(errors.New("two\n  of it"), errors.New("three"))))
	long := strings.Repeat("ü", 5000)
	for name, c := range map[string]struct {
		err  error
		want []string // the beginnings of lines
	}{
		"joined":   {joined, []string{"ampipe: one", "ampipe: two of it", "ampipe: three"}},
		"wrapped":  {fmt.Errorf("work: %w", errors.Join(errors.New("a"), errors.New("b"))), []string{"ampipe: work: a b"}},
		"findings": {ops.Findings(joined), []string{"ampipe: one", "ampipe: two of it", "ampipe: three", "ampipe: 3 findings; exit code 1"}},
		"a signal": {errors.New("a\x1b[31mb"), []string{"ampipe: a [31mb"}},
		"long":     {errors.New("begin " + long + " end"), []string{"ampipe: begin ü"}},
	} {
		var text, lines strings.Builder
		ops.Reporter{Out: &text}.Report(c.err, ops.ExitCode(c.err))
		got := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
		if len(got) != len(c.want) {
			t.Errorf("%s: printed\n%s", name, text.String())
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i], want) || len(got[i]) > 2000 {
				t.Errorf("%s: line %d is %q, want %q", name, i, got[i], want)
			}
		}
		ops.Reporter{Out: &lines, JSON: true}.Report(c.err, ops.ExitCode(c.err))
		n := 0
		for line := range strings.Lines(lines.String()) {
			var fields struct {
				Level, Message string
				Code           int `json:"exit_code"`
			}
			if err := json.Unmarshal([]byte(line), &fields); err != nil || fields.Level != "error" || fields.Code == 0 {
				t.Errorf("%s: %q (%v)", name, line, err)
			}
			if name == "long" && !strings.Contains(fields.Message, long) {
				t.Errorf("JSON is cut: %d bytes", len(line))
			}
			n++
		}
		if n != len(c.want) {
			t.Errorf("%s: %d lines of JSON:\n%s", name, n, lines.String())
		}
	}
}

// TestPanicAtTheTop is reported like an error, with its stack.
func TestPanicAtTheTop(t *testing.T) {
	for asJSON, want := range map[bool]string{true: `"stack":"goroutine `, false: "\n\ngoroutine "} {
		var out strings.Builder
		code := ops.Main(t.Context(), ops.Reporter{Out: &out, JSON: asJSON}, func(context.Context) error { panic("a bug") })
		if code != ops.ExitFailed || !strings.Contains(out.String(), "ampipe has a bug: panic: a bug") || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d\n%s", code, out.String())
		}
		if asJSON && (strings.Count(out.String(), "\n") != 1 || !json.Valid([]byte(out.String()))) {
			t.Errorf("not one line of JSON: %s", out.String())
		}
	}
}
