package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Facts is what a NATS server is like, and the streams that a pipeline has in it.
type Facts struct {
	Cluster   string        // its name; empty: the server stands alone
	RoundTrip time.Duration // the shortest of a few
	Streams   []StreamFacts // those that there are
}

// StreamFacts is how a stream is kept.
type StreamFacts struct {
	Name     string
	Replicas int
	Behind   []string // names of the servers whose replica is away or lacks messages
}

// roundTrips is how often the time of one is measured.
const roundTrips = 5

// Facts reads them. It changes nothing, and needs no more than the right to look.
func (c *Conn) Facts(ctx context.Context, pipeline string) (Facts, error) {
	f := Facts{Cluster: c.nc.ConnectedClusterName()}
	for n := range roundTrips {
		took, err := c.nc.RTT()
		if err != nil {
			return f, c.classify(ctx, fmt.Errorf("measure the round trip to NATS: %w", err))
		}
		if n == 0 || took < f.RoundTrip {
			f.RoundTrip = took
		}
	}
	for _, name := range []string{logStream + pipeline, taskStream, stateStream} {
		stream, err := c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return f, c.classify(ctx, fmt.Errorf("look at stream %s: %w", name, err))
		}
		info := stream.CachedInfo()
		s := StreamFacts{Name: name, Replicas: info.Config.Replicas}
		if info.Cluster != nil {
			for _, peer := range info.Cluster.Replicas {
				if peer.Offline || !peer.Current {
					s.Behind = append(s.Behind, peer.Name)
				}
			}
		}
		f.Streams = append(f.Streams, s)
	}
	return f, nil
}

const (
	monitorPort = "8222" // of a server's monitoring, unless it is configured
	monitorWait = 2 * time.Second
	monitorSize = 4 << 20 // bytes that an answer may have
)

// SyncInterval returns after how long the server syncs what it has acknowledged; 0: before
// it acknowledges. Only the monitoring of the server knows: monitor is its URL, such as
// http://host:8222; empty: that port of the host which this connection is to.
func (c *Conn) SyncInterval(ctx context.Context, monitor string) (time.Duration, error) {
	if c.server != nil {
		return 0, nil
	}
	named := monitor != ""
	if !named {
		server, err := url.Parse(c.nc.ConnectedUrlRedacted())
		if err != nil {
			return 0, fmt.Errorf("read the URL of the connection: %w", err)
		}
		monitor = "http://" + net.JoinHostPort(server.Hostname(), monitorPort)
	}
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(monitor, "/")+"/varz", nil)
	if err != nil { // which may quote a password
		return 0, errors.New("ask the monitoring of NATS: its URL is malformed, want http://host:8222")
	}
	at := request.URL.Redacted()
	request.Close = true // it is asked once
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the monitoring of NATS: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	var server struct {
		ID      string `json:"server_id"`
		Cluster struct {
			Name string `json:"name"`
		} `json:"cluster"`
		JetStream struct {
			Config *struct {
				SyncInterval time.Duration `json:"sync_interval"`
				SyncAlways   bool          `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	cluster := c.nc.ConnectedClusterName()
	err = json.NewDecoder(io.LimitReader(answer.Body, monitorSize)).Decode(&server)
	switch {
	case answer.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("ask the monitoring of NATS: %s answers %s", at, answer.Status)
	case err != nil:
		return 0, fmt.Errorf("read what the monitoring of NATS answers: %w", err)
	case !named && server.ID != c.nc.ConnectedServerId() && (cluster == "" || server.Cluster.Name != cluster):
		return 0, fmt.Errorf("ask the monitoring of NATS: at %s is another server", at)
	case server.JetStream.Config == nil:
		return 0, fmt.Errorf("ask the monitoring of NATS: the server at %s has no JetStream", at)
	case server.JetStream.Config.SyncAlways:
		return 0, nil
	}
	return server.JetStream.Config.SyncInterval, nil
}
