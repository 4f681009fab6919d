package page_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/status"
)

// TestDeadLetters lists them with what was refused, as text.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	v := viewOf(facts(10))
	v.Details[0].Letters = []status.Letter{
		{Sink: "warehouse", Block: 15000123, Row: 7, Column: "data", Value: "<b>\x00", Error: "the text holds a NUL character", At: now.Add(-5 * time.Minute)},
		{Sink: "lake", Block: 9, Error: "violates a check", At: now},
	}
	_, html := serve(t, v).get("/")
	text := words(html)
	for _, want := range []string{
		"warehouse 15000123 data <b> the text holds a NUL character 2026-11-29 11:55:00", "lake 9 the row violates a check 2026-11-29 12:00:00", "ampipe dlq replay eth-logs --all",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(html, "<b>") {
		t.Error("a value is markup in the page")
	}
}
