package pipeline

import (
	"context"

	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// shownLetters is how many dead letters of a sink the page shows.
const shownLetters = 20

// seenLetters are the newest dead letters of a sink, as they were read when its stream was
// at a place.
type seenLetters struct {
	at     state.LettersMark
	newest []status.Letter
}

// newestLetters returns the newest dead letters of each sink of a pipeline. They are read
// again only when some were added or removed. If they cannot be read there are those of
// before: that NATS does not answer is said elsewhere.
func (v *Viewer) newestLetters(ctx context.Context, f status.Facts) (all []status.Letter) {
	for _, s := range f.Sinks {
		key := f.Name + " " + s.Name
		if s.Dead == 0 {
			delete(v.letters, key)
			continue
		}
		seen, err := v.readNewest(ctx, f.Name, s.Name, v.letters[key])
		if err == nil {
			v.letters[key] = seen
		}
		all = append(all, v.letters[key].newest...)
	}
	return all
}

func (v *Viewer) readNewest(ctx context.Context, pipeline, sink string, before seenLetters) (seenLetters, error) {
	var conn *natsConn
	for _, p := range v.pipelines {
		if p.Name == pipeline {
			conn = v.conns[keyOf(p)]
		}
	}
	if conn == nil {
		return before, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stored, err := conn.DeadLetters(ctx, pipeline, sink, 0)
	if err != nil {
		return before, err
	}
	at := stored.Mark()
	if at.Seq == before.at.Seq && at.Stream.Equal(before.at.Stream) {
		return before, nil
	}
	letters, err := stored.Newest(ctx, shownLetters)
	seen := seenLetters{at: at}
	for _, l := range letters {
		seen.newest = append(seen.newest, status.Letter{
			Sink: sink, Block: l.Block, Row: l.Row, Column: l.Column, Value: l.Value, Error: l.Error, At: l.Time,
		})
		l.Release()
	}
	return seen, err
}
