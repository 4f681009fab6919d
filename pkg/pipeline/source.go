package pipeline

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
)

// openSource connects to the pipeline's Amp server.
func openSource(ctx context.Context, p *config.Pipeline) (*amp.Client, error) {
	return amp.Open(ctx, amp.Config{
		URL: p.Source.Amp, Token: string(p.Source.Token), TokenFile: p.Source.TokenFile,
		KeepAlive: p.Source.KeepAlive,
		Recycle:   true, // extractors and digests keep no record past its release
	})
}

// askSource checks the query. A server that is down or restarting is waited for,
// visibly: nothing has been started, so nothing can be lost by patience.
func askSource(ctx context.Context, source plan.Source, p *config.Pipeline, log zerolog.Logger) (*plan.Checked, error) {
	var checked *plan.Checked
	err := fault.Retry(ctx, fault.Backoff{Attempts: 5}, func(ctx context.Context) (err error) {
		checked, err = plan.Check(ctx, source, p)
		return err
	}, func(err error, pause time.Duration) {
		log.Warn().Err(err).Dur("pause", pause).Msg("waiting for the Amp server")
	})
	return checked, err
}

// takeSample samples the source, patiently too.
func takeSample(ctx context.Context, source plan.Source, checked *plan.Checked, history block.Range, log zerolog.Logger) (plan.Sample, error) {
	var sample plan.Sample
	err := fault.Retry(ctx, fault.Backoff{Attempts: 5}, func(ctx context.Context) (err error) {
		sample, err = checked.TakeSample(ctx, source, history)
		return err
	}, func(err error, pause time.Duration) {
		log.Warn().Err(err).Dur("pause", pause).Msg("waiting for the Amp server")
	})
	return sample, err
}
