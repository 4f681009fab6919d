package pipeline

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
)

// progressLoggers returns functions that log the progress of each pipeline, if there is no
// terminal to show it on.
func progressLoggers(meters map[string]*progress.Meter, o Options) map[string]func() {
	loggers := map[string]func(){}
	if o.Screen == nil || o.Screen.Terminal {
		return loggers
	}
	for name, m := range meters {
		log := o.Logger.With().Str("pipeline", name).Logger()
		loggers[name] = m.ProgressLogger(func(s progress.Snapshot) {
			log.Info().Object(ops.ProgressField, progressObject(s)).Msg(s.Line)
		})
	}
	return loggers
}

// progressObject is a snapshot in the log.
type progressObject progress.Snapshot

// MarshalZerologObject is part of [zerolog.LogObjectMarshaler].
func (s progressObject) MarshalZerologObject(e *zerolog.Event) {
	e.Str("state", string(s.State))
	if s.Sentence != "" {
		e.Str("sentence", s.Sentence)
	}
	if s.Failure != "" {
		e.Str("failure", s.Failure)
	}
	if s.Planned {
		e.Uint64("history_blocks_done", s.Done).Uint64("history_blocks", s.Blocks)
	}
	if s.Left > 0 {
		e.Float64("seconds_left", s.Left.Round(time.Second).Seconds())
	}
	if s.Rows > 0 {
		e.Uint64("log_rows", s.Rows).Float64("log_rows_per_second", s.RowsPerSec)
	}
	if s.LiveBlock != nil {
		e.Uint64("live_block", uint64(*s.LiveBlock)).Float64("live_behind_seconds", s.LiveBehind.Seconds())
	}
	e.Uint64("reorgs", s.Reorgs)
	sinks := zerolog.Dict()
	for _, one := range s.Sinks {
		d := zerolog.Dict().Uint64("rows", one.Rows).Float64("rows_per_second", one.RowsPerSec)
		if one.BehindKnown {
			d.Float64("behind_seconds", one.Behind.Seconds())
		}
		if one.Stopped != "" {
			d.Str("stopped", one.Stopped)
		}
		sinks.Dict(one.Name, d)
	}
	e.Dict("sinks", sinks)
	waits := zerolog.Arr()
	for _, w := range s.Waits {
		waits.Dict(zerolog.Dict().Str("part", w.Part).Str("reason", w.Reason).
			Float64("seconds", time.Since(w.Since).Round(time.Second).Seconds()))
	}
	e.Array("waits", waits)
}
