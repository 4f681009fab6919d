package pipeline

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
)

// watch shows the line of progress and answers for metrics and health until the
// function that it returns is called, which waits for the end of both.
func watch(ctx context.Context, meters map[string]*progress.Meter, o Options) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	stop = func() error {
		cancel()
		return g.Wait()
	}
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
	if o.Listen == "" {
		return stop, nil
	}
	registry, err := progress.Gather(meters)
	if err != nil {
		return stop, err
	}
	listening, failed := make(chan net.Addr, 1), make(chan error, 1)
	health := ops.NewHealth(func() map[string]string { return stuck(meters) })
	g.Go(func() error {
		err := ops.Serve(ctx, o.Listen, registry, health, func(a net.Addr) { listening <- a })
		failed <- err
		return err
	})
	select {
	case a := <-listening:
		o.Logger.Info().Stringer("address", a).Msg("metrics and health")
		health.Ready()
		return stop, nil
	case err := <-failed:
		cancel()
		_ = g.Wait() // the same error
		return nil, err
	}
}

// stuck returns what is waited for and what has stopped for good, in all pipelines.
func stuck(meters map[string]*progress.Meter) map[string]string {
	all := map[string]string{}
	for name, m := range meters {
		for part, reason := range m.Stops() {
			all[name+": "+part] = "stopped: " + reason
		}
		for part, reason := range m.Waits() {
			all[name+": "+part] = reason
		}
	}
	return all
}
