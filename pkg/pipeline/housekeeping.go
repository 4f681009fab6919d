package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

// Compact joins the small files of every Delta table of the pipeline, or tells
// what it would join. It may run beside the pipeline.
func Compact(ctx context.Context, p *config.Pipeline, o Options, dry bool) error {
	return eachLake(ctx, p, func(name string, w *delta.Writer) error {
		done, err := w.Compact(ctx, dry)
		if err != nil {
			return err
		}
		switch {
		case done.Before == 0:
			say(o.out(), "%s: nothing to compact", name)
		case dry:
			say(o.out(), "%s: %d small files of %s would be joined", name, done.Before, Bytes(float64(done.Bytes)))
		default:
			say(o.out(), "%s: %d small files of %s are %d files now; the table is at version %d", name, done.Before,
				Bytes(float64(done.Bytes)), done.After, done.Version)
		}
		if done.Conflict > 0 {
			say(o.out(), "%s: %d groups of files were left alone, since others had changed them meanwhile", name, done.Conflict)
		}
		return nil
	})
}

// Vacuum removes the files of every Delta table of the pipeline that left it
// before the retention, or tells which it would remove.
func Vacuum(ctx context.Context, p *config.Pipeline, o Options, retention time.Duration, dry bool) error {
	return eachLake(ctx, p, func(name string, w *delta.Writer) error {
		done, err := w.Vacuum(ctx, retention, dry, time.Now())
		if err != nil {
			return err
		}
		verb := "removed"
		if dry {
			verb = "would be removed"
		}
		say(o.out(), "%s: %d files of %s %s", name, done.Files, Bytes(float64(done.Bytes)), verb)
		for _, file := range done.Names {
			say(o.out(), "    %s", file)
		}
		if more := done.Files - len(done.Names); more > 0 {
			say(o.out(), "    and %d more", more)
		}
		return nil
	})
}

// eachLake opens each Delta table of the pipeline as it is.
func eachLake(ctx context.Context, p *config.Pipeline, do func(name string, w *delta.Writer) error) error {
	var lakes []config.Sink
	for _, c := range p.Sinks {
		if c.Delta != nil {
			lakes = append(lakes, c)
		}
	}
	if len(lakes) == 0 {
		return ops.Config(fmt.Errorf("pipeline %q has no Delta sink", p.Name))
	}
	source, err := openSource(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	checked, err := plan.Check(ctx, source, p)
	if err != nil {
		return err
	}
	for _, c := range lakes {
		w := delta.New(*c.Delta)
		err := w.OpenStored(ctx, tableFor(p, c, checked))
		if err == nil {
			err = do(c.Name, w)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return fmt.Errorf("sink %q: %w", c.Name, err)
		}
	}
	return nil
}
