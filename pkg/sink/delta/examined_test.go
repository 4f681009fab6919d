package delta

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

func TestWhatIsSaidOfATable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		is   condition
		kind sink.FindingKind
		want string // in the only finding; empty: there is none
	}{
		"nothing":      {is: condition{retention: time.Hour, small: manySmall - 1, versions: []deltalog.Authored{{Engine: "ampipe 1.0", Changes: true}, {Engine: "Spark"}}}},
		"small files":  {condition{retention: time.Hour, small: manySmall, pipeline: "p"}, sink.Speed, "200 files of the table are small: "},
		"short memory": {condition{retention: 5 * time.Minute}, sink.Safety, "is 5m0s: a VACUUM"},
		"another": {condition{retention: time.Hour, versions: []deltalog.Authored{{Engine: "ampipes", Changes: true}}},
			sink.Safety, "1 of the last 1 versions of the table change its rows and are of ampipes:"},
	} {
		got := c.is.findings()
		switch {
		case c.want == "" && len(got) == 0:
		case len(got) != 1 || c.want == "" || got[0].Kind != c.kind || !strings.Contains(got[0].Text, c.want) || got[0].Fix == "":
			t.Errorf("%s: got %+v", name, got)
		}
	}
	for text, want := range map[string]time.Duration{"": deltalog.Retention, "interval 5 minutes": 5 * time.Minute, "soon": deltalog.Retention} {
		s := &deltalog.Snapshot{MetaData: &deltalog.MetaData{Configuration: map[string]string{"delta.deletedFileRetentionDuration": text}}}
		if got := s.VacuumRetention(); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
