// Package pipeline puts the stages together: everything in one process, or one
// stage of a pipeline in a process of its own. It also holds what spans them,
// the comparison of source and destination.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
)

// Bus is a connection to NATS, with the embedded server if that is configured.
type Bus struct {
	*queue.Conn
	server *queue.Server
	makes  bool // streams
	state  connectionState
}

// connectionState tells the meters of the pipelines on a bus whether the connection is
// lost. It is safe for concurrent use.
type connectionState struct {
	mu     sync.Mutex
	reason error // nil: it stands
	meters []*progress.Meter
}

func (s *connectionState) set(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
	for _, m := range s.meters {
		m.WaitingFor(health.NATSAway, partNATS, text(reason))
	}
}

// tell adds a meter to those that are told.
func (s *connectionState) tell(m *progress.Meter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meters = append(s.meters, m)
	m.WaitingFor(health.NATSAway, partNATS, text(s.reason))
}

// The roles of processes in NATS, besides those of sinks; see [queue.Config].
const (
	roleRun       = "run" // all stages
	rolePlanner   = "planner"
	roleExtractor = "extractor"
	roleOperator  = "operator" // looks
)

// OpenBus starts the embedded server of c, or connects to the one it names, as a process
// of that role.
func OpenBus(ctx context.Context, c config.NATS, role string, log zerolog.Logger) (*Bus, error) {
	b := &Bus{makes: role == roleRun || role == rolePlanner}
	if c.Embedded != "" {
		server, err := queue.StartServer(ctx, queue.ServerConfig{
			Dir:      c.Embedded,
			OnNotice: func(text string) { log.Warn().Str("part", "nats").Msg(text) },
		})
		if err != nil {
			return nil, fmt.Errorf("start the embedded NATS server: %w", err)
		}
		b.server = server
	}
	conn, err := queue.Open(ctx, queue.Config{
		URL:      c.URL,
		User:     c.User,
		Password: string(c.Password),
		NKey:     c.NKey,
		Creds:    c.Creds,
		TLS:      queue.TLS{CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key},
		Replicas: c.Replicas,
		Server:   b.server,
		Role:     role,

		MustExist: !b.makes,
		OnState: func(reason error) {
			b.state.set(reason)
			if reason != nil {
				log.Warn().Err(reason).Msg("waiting for NATS")
			} else {
				log.Info().Msg("NATS is back")
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.Conn = conn
	return b, nil
}

// partNATS is what health calls the connection to NATS.
const partNATS = "NATS"

// untilNATS repeats, visibly, what needs a NATS server of its own, which may come up
// later than this process. The embedded one is asked once. What the meter was told is
// over when the bus tells it that the connection stands.
func untilNATS(ctx context.Context, c config.NATS, meter *progress.Meter, log zerolog.Logger, op func(context.Context) error) error {
	if c.Embedded != "" {
		return op(ctx)
	}
	return fault.Retry(ctx, fault.Backoff{GiveUp: firstPatience}, op, func(err error, pause time.Duration) {
		meter.WaitingFor(health.NATSAway, partNATS, text(err))
		log.Warn().Err(err).Dur("pause", pause).Msg("waiting for NATS")
	})
}

// Close ends the connection and then the embedded server.
func (b *Bus) Close() error {
	if b.Conn != nil {
		b.Conn.Close()
	}
	if b.server == nil {
		return nil
	}
	return b.server.Close()
}
