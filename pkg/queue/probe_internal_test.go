package queue

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// interrupted makes streams, and does not hear that they were made.
type interrupted struct{ jetstream.JetStream }

func (i interrupted) CreateStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	if _, err := i.JetStream.CreateStream(ctx, c); err != nil {
		return nil, err
	}
	return nil, context.Canceled
}

// TestAProbeThatIsInterruptedLeavesNothing: what it reserves would be missing to the
// pipeline for which it was made.
func TestAProbeThatIsInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	c := openTold(t, nil)
	p, err := c.probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.js = interrupted{p.js}
	if _, err := p.largest(t.Context(), 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("it returned %v", err)
	}
	if _, err := c.js.Stream(t.Context(), probeStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream is left: %v", err)
	}
}

// TestAProbeWhoseConnectionIsLost is nothing that a pipeline waits for once it is over.
func TestAProbeWhoseConnectionIsLost(t *testing.T) {
	t.Parallel()
	var told []bool
	c := openTold(t, func(reason error) { told = append(told, reason != nil) })
	p, err := c.probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.onDisconnect(p.nc, errSilent)
	p.close()
	if !slices.Equal(told, []bool{true, false}) {
		t.Errorf("told %v", told)
	}
}

// TestAProbeThatWasLeftBehind is deleted by the next process, if it is old also by one that
// needs no room, and is in nobody's way.
func TestAProbeThatWasLeftBehind(t *testing.T) {
	t.Parallel()
	c := openTold(t, nil)
	leave := func() {
		t.Helper()
		if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: probeStream, Storage: jetstream.FileStorage, MaxBytes: 3 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() bool {
		_, err := c.js.Stream(t.Context(), probeStream)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	leave()
	c.sweep(t.Context(), probeAge)
	if !left() {
		t.Error("one that may be in use was deleted")
	}
	c.sweep(t.Context(), 0)
	if left() {
		t.Error("it is left")
	}
	leave()
	p, err := c.probe(t.Context())
	if err != nil || left() {
		t.Fatalf("it is left: %v", err)
	}
	defer p.close()
	leave() // by a process that began a moment later
	if fits, err := p.fits(t.Context(), 1<<20); err != nil || !fits || left() {
		t.Errorf("fits %v, %v", fits, err)
	}
}

func openTold(t *testing.T, told func(error)) *Conn {
	t.Helper()
	server, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c, err := Open(t.Context(), Config{Server: server, OnState: told})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
