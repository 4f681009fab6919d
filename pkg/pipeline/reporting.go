package pipeline

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
)

// startReporting shows the progress, logs waits, and serves metrics and health. It starts
// before anything is connected. stop ends it and waits for that; routes are what answers
// about metrics and health, for the page, too.
func startReporting(
	ctx context.Context, meters map[string]*progress.Meter, o Options,
) (routes map[string]http.Handler, stop func() error, err error) {
	registry, err := progress.Gather(meters)
	if err != nil {
		return nil, nil, err
	}
	var listener net.Listener
	if o.Listen != "" {
		if listener, err = ops.Listen(ctx, o.Listen, "for metrics and health (--listen)"); err != nil {
			return nil, nil, err
		}
		o.Logger.Info().Stringer("address", listener.Addr()).Msg("serving metrics and health")
	}
	names := slices.Sorted(maps.Keys(meters))
	for _, name := range names {
		log := o.Logger.With().Str("pipeline", name).Logger()
		meters[name].Say = func(n progress.WaitNote) { logWait(log, n) }
		meters[name].SayUntil(ctx)
	}
	routes = ops.Routes(registry, func() []health.Pipeline {
		all := make([]health.Pipeline, len(names))
		for i, name := range names {
			all[i] = meters[name].Health(name)
		}
		return all
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	loggers := progressLoggers(meters, o)
	g.Go(func() error {
		for fault.Sleep(ctx, fault.Aligned(time.Second)) == nil {
			for _, name := range names {
				meters[name].SayWaits()
				if logProgress := loggers[name]; logProgress != nil {
					logProgress()
				}
			}
		}
		return nil
	})
	g.Go(func() error {
		o.Screen.Run(ctx, func(columns int) (block []string) {
			for _, name := range names {
				block = append(block, meters[name].Snapshot().Block(name, columns)...)
			}
			return block
		})
		return nil
	})
	if listener != nil {
		g.Go(func() error { return ops.Serve(ctx, listener, routes) })
	}
	return routes, func() error {
		cancel()
		return g.Wait()
	}, nil
}

// logWait logs that a wait has begun, lasts or has ended.
func logWait(log zerolog.Logger, n progress.WaitNote) {
	line := log.Warn()
	if n.Event == progress.WaitEnded || n.Kind.InOrder() {
		line = log.Info()
	}
	line = line.Str("part", n.Part)
	if n.Parts > 1 {
		line = line.Int("parts", n.Parts)
	}
	switch n.Event {
	case progress.WaitEnded:
		line.Msg("resumed after " + progress.Duration(n.For))
	case progress.WaitLasts:
		line.Str("reason", n.Reason).Msg("has been waiting for " + progress.Duration(n.For))
	default:
		line.Str("reason", n.Reason).Msg("waiting")
	}
}
