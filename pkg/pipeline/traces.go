package pipeline

import (
	"context"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/trace"
	"github.com/ampipe/ampipe/pkg/trace/otlp"
)

// openTraces makes the tracer of the stages, if the program has one or the configuration says
// where traces go. service is what they call this process. The caller calls stop when the
// stages have ended.
func (s *stages) openTraces(ctx context.Context, service string) (stop func(), err error) {
	if s.options.Tracer != nil {
		s.tracer = trace.New(s.options.Tracer, s.config.Name)
		return func() {}, nil
	}
	to := s.config.Traces
	if to.Endpoint == "" {
		return func() {}, nil
	}
	exporter, err := otlp.Open(ctx, otlp.Config{
		Endpoint: to.Endpoint, Sample: to.Sample, Service: service, Version: ops.ReadBuild().Version,
		OnLost: func(err error) {
			s.logger.Warn().Err(err).Msg("traces cannot be sent, and some are lost; the pipeline does not wait for them. " +
				"This is said once; ampipe_spans_total counts them")
		},
	})
	if err != nil {
		return nil, ops.Config(err)
	}
	s.meter.CountSpans(exporter.Counts)
	s.tracer = trace.New(exporter, s.config.Name)
	return exporter.Close, nil
}
