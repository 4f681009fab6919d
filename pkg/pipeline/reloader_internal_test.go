package pipeline

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
)

// TestReload is what becomes of the level of the log, and of a configuration that is refused.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		level, named string // at the start, and in the file now
		fixed        bool   // by the command line
		refused      error  // by the pipeline
		says, after  string // and the level after it
	}{
		"quieter":             {level: "info", named: "error", after: "error", says: `"key":"log_level","from":"info","to":"error","message":"the changed key is taken"`},
		"louder":              {level: "error", named: "debug", after: "debug", says: `"key":"log_level","from":"error","to":"debug","message":"the changed key is taken"`},
		"as it was":           {level: "warn", named: "warn", after: "warn"},
		"by the command line": {level: "info", named: "debug", fixed: true, after: "info", says: `the changed key is not used: --log-level of the command line decides`},
		"refused": {level: "info", named: "debug", after: "info", refused: context.Canceled,
			says: `"level":"error","error":"context canceled","message":"the configuration was read again and is refused; the settings stay as they are"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, level := &bytes.Buffer{}, &ops.LevelVar{}
			if err := level.Set(c.level); err != nil {
				t.Fatal(err)
			}
			log, reloads := zerolog.New(out).Hook(level), make(chan Reload)
			r := Reloader{
				Load:  func() ([]*config.Pipeline, error) { return []*config.Pipeline{{LogLevel: c.named}}, nil },
				Level: level, FixedLevel: c.fixed,
			}
			go func() { (<-reloads).Done(c.refused) }()
			r.reload(t.Context(), log, reloads, c.level)
			if !strings.Contains(out.String(), c.says) || (c.says == "") != (out.Len() == 0) {
				t.Errorf("it logs\n%swant %s", out, c.says)
			}
			for _, name := range strings.Fields("trace debug info warn error") {
				out.Reset()
				of, _ := zerolog.ParseLevel(name)
				log.WithLevel(of).Msg("a line")
				after, _ := zerolog.ParseLevel(c.after)
				if (out.Len() > 0) != (of >= after) {
					t.Errorf("at level %s a line of level %s is logged: %v", c.after, name, out.Len() > 0)
				}
			}
		})
	}
}
