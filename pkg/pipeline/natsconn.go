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

// natsConn is a connection to NATS, with the embedded server if that is configured.
type natsConn struct {
	*queue.Conn
	server         *queue.Server
	createsStreams bool
	state          connectionState
}

// connectionState reports to the meters of the pipelines on a connection whether it is
// lost. It is safe for concurrent use.
type connectionState struct {
	mu     sync.Mutex
	reason error // nil: it stands
	meters []*progress.Meter
}

// set sets the state on all meters, and reports whether there was one.
func (s *connectionState) set(reason error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
	for _, m := range s.meters {
		m.WaitingFor(health.NATSAway, partNATS, text(reason))
	}
	return len(s.meters) > 0
}

// addMeter adds a meter that this and every later state is reported to.
func (s *connectionState) addMeter(m *progress.Meter) {
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
	roleOperator  = "operator" // only reads
)

// awaitFailure waits until the embedded server, if there is one, has failed, and returns why;
// nil when ctx ends. Only another process can serve the folder again.
func (n *natsConn) awaitFailure(ctx context.Context) error {
	if n.server == nil {
		return nil
	}
	return n.server.AwaitFailure(ctx)
}

// openNATS starts the embedded server of c, or connects to the one it names, as a process
// of that role.
func openNATS(ctx context.Context, c config.NATS, role string, log zerolog.Logger) (*natsConn, error) {
	if c.Embedded == "" {
		return connectNATS(ctx, c, role, log)
	}
	if role == roleOperator {
		return reachEmbedded(ctx, c, log)
	}
	return startNATS(ctx, c, role, log)
}

// startNATS starts the embedded server of c. A process that is to run lets commands in; one
// that is a command has the folder for a moment.
func startNATS(ctx context.Context, c config.NATS, role string, log zerolog.Logger) (*natsConn, error) {
	isCommand := role == roleOperator
	server, err := queue.StartServer(ctx, queue.ServerConfig{
		Dir: c.Embedded, Commands: !isCommand, Brief: isCommand,
		OnNotice: func(text string) { log.Warn().Str("part", "nats").Msg(text) },
	})
	if err != nil {
		return nil, fmt.Errorf("start the embedded NATS server: %w", err)
	}
	return openConn(ctx, server, c, role, role == roleRun, log)
}

// connectNATS connects to the server that c names. It does not refer to the embedded one, so
// that a program that needs no more than this does not link it.
func connectNATS(ctx context.Context, c config.NATS, role string, log zerolog.Logger) (*natsConn, error) {
	return openConn(ctx, nil, c, role, role == roleRun || role == rolePlanner, log)
}

// openConn connects to the embedded server, or to the one that c names. creates says that
// the process may make the streams.
func openConn(
	ctx context.Context, server *queue.Server, c config.NATS, role string, creates bool, log zerolog.Logger,
) (*natsConn, error) {
	n := &natsConn{createsStreams: creates, server: server}
	conn, err := queue.Open(ctx, queue.Config{
		URL:      c.URL,
		User:     c.User,
		Password: string(c.Password),
		NKey:     c.NKey,
		Creds:    c.Creds,
		TLS:      queue.TLS{CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key},
		Replicas: c.Replicas,
		Server:   server,
		Role:     role,

		MustExist: !n.createsStreams,
		OnState: func(reason error) {
			switch reported := n.state.set(reason); {
			case reported: // by a meter
			case reason != nil:
				log.Warn().Err(reason).Msg("waiting for NATS")
			default:
				log.Info().Msg("connected to NATS again")
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.Conn = conn
	return n, nil
}

// partNATS is what health calls the connection to NATS.
const partNATS = "NATS"

// retryNATS repeats, visibly, what needs a NATS server of its own, which may come up
// later than this process. The embedded one is asked once. The wait that the
// meter shows ends when the connection reports that it stands.
func retryNATS(ctx context.Context, p *config.Pipeline, meter *progress.Meter, op func(context.Context) error) error {
	if p.NATS.Embedded != "" {
		return op(ctx)
	}
	return fault.Retry(ctx, backoff(p), op, func(err error, _ time.Duration) {
		meter.WaitingFor(health.NATSAway, partNATS, text(err))
	})
}

// Close ends the connection and then the embedded server.
func (n *natsConn) Close() error {
	if n.Conn != nil {
		n.Conn.Close()
	}
	if n.server == nil {
		return nil
	}
	return n.server.Close()
}
