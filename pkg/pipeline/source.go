package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// answersWindow is how many bytes all answers that are read at the same time may have sent
// ahead. Each has [amp.Config.Window]'s least: half of a message, while gRPC opens the window
// for the whole of one that is waited for.
const answersWindow = 4 << 20

// openSource connects to the pipeline's Amp server, for a command.
func openSource(ctx context.Context, p *config.Pipeline) (*amp.Client, error) {
	return openWatched(ctx, p, nil)
}

// partConnection is what health calls a connection to the Amp server that stands.
const partConnection = "connection to Amp"

// openSource connects to the pipeline's Amp server, and reports to the meter when that
// stands still.
func (s *stages) openSource(ctx context.Context) (*amp.Client, error) {
	return openWatched(ctx, s.config, func(since time.Time) {
		reason := ""
		if !since.IsZero() {
			reason = fmt.Sprintf("the server has sent nothing since %s, and does not answer a ping: "+
				"it hangs, or the network does not carry anything", clock(since))
		}
		s.meter.WaitingFor(health.AmpAway, partConnection, reason)
	})
}

func openWatched(ctx context.Context, p *config.Pipeline, onSilence func(time.Time)) (*amp.Client, error) {
	secure, err := tlsConfig(p.Source.TLS)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("open Amp client: %w", err))
	}
	return amp.Open(ctx, amp.Config{
		TLS: secure,
		URL: p.Source.Amp, Token: string(p.Source.Token), TokenFile: p.Source.TokenFile,
		MaxMessage: int(p.Source.MaxMessage), KeepAlive: p.Source.KeepAlive, AnswerTimeout: p.Source.AnswerTimeout,
		FirstRowsTimeout: p.Source.FirstRowsTimeout, NextRowsTimeout: p.Source.NextRowsTimeout,
		Window:    answersWindow / max(p.Extract.Workers, 1),
		OnSilence: onSilence,
		Recycle:   true, // extractors and digests keep no record past its release
	})
}

// openChecked connects to the pipeline's Amp server and asks it about the query. The caller
// closes the client.
func openChecked(ctx context.Context, p *config.Pipeline) (*amp.Client, *plan.Checked, error) {
	source, err := openSource(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	checked, err := plan.Check(ctx, source, p)
	if err != nil {
		_ = source.Close() // nothing is in flight
		return nil, nil, err
	}
	return source, checked, nil
}

// sampled samples some blocks of the source for a command that a person waits for.
func sampled(
	ctx context.Context, source plan.Source, checked *plan.Checked, blocks block.Range, log zerolog.Logger,
) (sample plan.Sample, err error) {
	err = fault.Retry(ctx, fault.Backoff{GiveUp: commandGiveUp}, func(ctx context.Context) (err error) {
		sample, err = checked.TakeSample(ctx, source, blocks, nil)
		return err
	}, logged(log))
	return sample, err
}

// partAmp is what health calls the Amp server before it has answered.
const partAmp = "Amp"

const notAnswered = "Amp has not answered yet"

// tlsConfig reads the files of a TLS connection; nil if there are none.
func tlsConfig(files config.TLS) (*tls.Config, error) {
	if files == (config.TLS{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		text, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("read the authority of source.tls: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("source.tls.ca: %s holds no certificate in PEM form", files.CA)
		}
	}
	if files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of source.tls: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// commandGiveUp is how long a command that a person waits for retries after an unknown
// error. It waits without end for a server that is down.
const commandGiveUp = 2 * time.Minute

// backoff returns how a pipeline retries after an unknown error.
func backoff(p *config.Pipeline) fault.Backoff {
	return fault.Backoff{GiveUp: p.Extract.GiveUpAfter}
}

// untilReached waits, visibly and without end, until the Amp server answers a query: an
// extractor that cannot reach it leaves the tasks to others.
func (s *stages) untilReached(ctx context.Context, source plan.Source, spec state.Spec) error {
	query, err := sqlcheck.Parse(spec.Query)
	if err != nil {
		return fmt.Errorf("read the query of the plan: %w", err)
	}
	s.meter.Unready(stageExtractor, notAnswered)
	defer s.meter.Waiting(partAmp, "")
	err = fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) error {
		_, err := source.Head(ctx, query.Head())
		return err
	}, s.waiting(partAmp))
	if err != nil {
		return fmt.Errorf("ask %s for the head of the query: %w", s.config.Source.Amp, err)
	}
	return nil
}
