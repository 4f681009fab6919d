package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Compact joins the small files of every Delta table of the pipeline, or prints
// what it would join. It may run beside the pipeline.
func Compact(ctx context.Context, p *config.Pipeline, o Options, dry bool) error {
	return eachMaintained(ctx, p, o, func(name string, w sink.Maintainer) error {
		done, err := w.Compact(ctx, dry)
		if err != nil {
			return err
		}
		switch {
		case done.Before == 0:
			say(o.out(), "%s: nothing to compact", name)
		case dry:
			say(o.out(), "%s: %s of %s would be joined", name, counted(done.Before, "small file"), Bytes(float64(done.Bytes)))
		default:
			say(o.out(), "%s: %s of %s %s %s now; the table is at version %d", name, counted(done.Before, "small file"),
				Bytes(float64(done.Bytes)), are(done.Before), counted(done.After, "file"), done.Version)
		}
		if done.Conflict > 0 {
			say(o.out(), "%s: %d groups of files were left alone, since others had changed them meanwhile", name, done.Conflict)
		}
		return nil
	})
}

// Vacuum removes the files of every Delta table of the pipeline that left it
// before the retention, or prints which it would remove.
func Vacuum(ctx context.Context, p *config.Pipeline, o Options, retention time.Duration, dry bool) error {
	return eachMaintained(ctx, p, o, func(name string, w sink.Maintainer) error {
		done, err := w.Vacuum(ctx, retention, dry, time.Now())
		if err != nil {
			return err
		}
		verb := "removed"
		if dry {
			verb = "would be removed"
		}
		say(o.out(), "%s: %s of %s %s", name, counted(done.Files, "file"), Bytes(float64(done.Bytes)), verb)
		for _, file := range done.Names {
			say(o.out(), "    %s", file)
		}
		if more := done.Files - len(done.Names); more > 0 {
			say(o.out(), "    and %d more", more)
		}
		return nil
	})
}

// eachMaintained opens each table of the pipeline that consists of files, as it is.
func eachMaintained(ctx context.Context, p *config.Pipeline, o Options, do func(name string, w sink.Maintainer) error) error {
	type maintained struct {
		sink   config.Sink
		writer sink.Maintainer
	}
	var tables []maintained
	for _, c := range o.sinksHere(p) {
		w, err := newWriter(o, c)
		if err != nil {
			return err
		}
		if m, can := w.(sink.Maintainer); can {
			tables = append(tables, maintained{sink: c, writer: m})
		}
	}
	if len(tables) == 0 {
		return ops.Config(fmt.Errorf("pipeline %q has no Delta sink", p.Name))
	}
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	for _, t := range tables {
		err := t.writer.OpenStored(ctx, tableFor(p, t.sink, checked))
		if err == nil {
			err = do(o.sinkOf(p.Name, t.sink.Name), t.writer)
		}
		if err = errors.Join(err, t.writer.Close()); err != nil {
			return fmt.Errorf("sink %q: %w", t.sink.Name, err)
		}
	}
	return nil
}
