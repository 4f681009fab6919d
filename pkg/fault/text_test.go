package fault_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ampipe/ampipe/pkg/fault"
)

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc… (4 characters)"},
		{"ääää", 3, "ä… (4 characters)"},
	} {
		if got := fault.Shorten(c.text, c.most); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.most, got, c.want)
		}
	}
	if got := fault.Shorten(strings.Repeat("ü", 1<<20), 101); !utf8.ValidString(got) || len(got) > 140 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
