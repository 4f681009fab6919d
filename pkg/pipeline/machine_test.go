package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

func TestClockWarning(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0: "", 9 * time.Second: "", -9 * time.Second: "",
		90 * time.Second: "is 1m30s ahead of that of the NATS server",
		-time.Hour:       "is 1h0m0s behind that of the NATS server",
	} {
		if got := clockWarning(ahead); !strings.Contains(got, want) || (want == "" && got != "") {
			t.Errorf("%v: %q, want %q", ahead, got, want)
		}
	}
}

// TestFilesOf counts an embedded server once, however many pipelines share it.
func TestFilesOf(t *testing.T) {
	p := &config.Pipeline{NATS: config.NATS{Embedded: "a"}, Sinks: []config.Sink{{Postgres: &config.Postgres{Writers: 2}}}}
	one, two := filesOf(p), filesOf(p, p)
	if one != 77 || two != one+13 {
		t.Errorf("one pipeline needs %d files, two need %d", one, two)
	}
}
