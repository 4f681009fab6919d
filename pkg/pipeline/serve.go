package pipeline

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
)

// watch shows the line of progress and answers for metrics and health, from before
// anything is connected until the function that it returns is called, which waits for
// the end of both.
func watch(ctx context.Context, meters map[string]*progress.Meter, o Options) (stop func() error, err error) {
	registry, err := progress.Gather(meters)
	if err != nil {
		return nil, err
	}
	var listener net.Listener
	if o.Listen != "" {
		if listener, err = ops.Listen(ctx, o.Listen); err != nil {
			return nil, err
		}
		o.Logger.Info().Stringer("address", listener.Addr()).Msg("metrics and health")
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	names := slices.Sorted(maps.Keys(meters))
	g.Go(func() error {
		o.Screen.Run(ctx, func() string {
			lines := make([]string, len(names))
			for i, name := range names {
				lines[i] = meters[name].Line()
				if len(names) > 1 {
					lines[i] = name + ": " + lines[i]
				}
			}
			return strings.Join(lines, "  ")
		})
		return nil
	})
	if listener != nil {
		g.Go(func() error {
			return ops.Serve(ctx, listener, registry, func() []health.Pipeline {
				all := make([]health.Pipeline, len(names))
				for i, name := range names {
					all[i] = meters[name].Health(name)
				}
				return all
			})
		})
	}
	return func() error {
		cancel()
		return g.Wait()
	}, nil
}
