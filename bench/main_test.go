package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestWhatIsNotMetIsMeasuredAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64 // at most 1 is demanded
		fails  error
		smoke  bool
		taken  int
		note   string
	}{
		{"met", []float64{1}, nil, false, 1, ""},
		{"met at last", []float64{3, 2, 1}, nil, false, 3, "Not met when it was measured before, in this run: time: 3.00 ms; time: 2.00 ms."},
		{"never met", []float64{4, 3, 2}, nil, false, 3, "Not met when it was measured before, in this run: time: 4.00 ms; time: 3.00 ms."},
		{"not judged", []float64{2}, nil, true, 1, ""},
		{"cannot be measured", []float64{2}, errors.New("no server"), false, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := 0
			m := measurement{"time", func(_ context.Context, _ *env, r *report) error {
				r.live(limit{what: "time", value: c.values[taken], unit: "ms", most: 1})
				taken++
				return c.fails
			}}
			r := &report{options: options{smoke: c.smoke}}
			r.live(limit{what: "before", value: 1, most: 1})
			if err := m.takeUntilMet(t.Context(), &env{}, r); !errors.Is(err, c.fails) {
				t.Errorf("it ends with %v", err)
			}
			if last := r.lives[len(r.lives)-1].value; taken != c.taken || len(r.lives) != 2 || last != c.values[taken-1] {
				t.Errorf("taken %d times, want %d; the report has %+v", taken, c.taken, r.lives)
			}
			if got := strings.Join(r.notes, ""); got != c.note {
				t.Errorf("the note is %q, want %q", got, c.note)
			}
		})
	}
}
