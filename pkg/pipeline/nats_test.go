package pipeline_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// onLine calls a function with each line of a log.
type onLine func(line []byte)

func (f onLine) Write(line []byte) (int, error) {
	f(line)
	return len(line), nil
}

// TestRunWaitsForNATS: a server that comes up later than the process is waited for, as
// the processes of single stages do, and the log says so.
func TestRunWaitsForNATS(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(t))
	var server *queue.Server
	start := sync.OnceFunc(func() {
		var err error
		if server, err = queue.StartServer(t.Context(), queue.ServerConfig{Dir: t.TempDir(), Listen: address}); err != nil {
			t.Error(err)
		}
	})
	logger := zerolog.New(onLine(func(line []byte) {
		if bytes.Contains(line, []byte(`"message":"waiting"`)) && bytes.Contains(line, []byte(address)) {
			start()
		}
	}))
	p := &config.Pipeline{Name: "late", NATS: config.NATS{URL: "nats://" + address}}
	p.Log.MaxBytes = 1 << 20
	err := pipeline.Run(t.Context(), []*config.Pipeline{p}, pipeline.Options{Destinations: allDestinations(), Logger: logger})
	if err == nil || !strings.Contains(err.Error(), "open Amp client") { // what comes after NATS, and is not configured
		t.Error(err)
	}
	if server == nil {
		t.Fatal("nobody waited for NATS")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}
