package ops_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/prometheus/client_golang/prometheus"
)

func TestExitCodes(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{broken, 1},
		{ops.Config(broken), 2},
		{fmt.Errorf("run: %w", ops.Incomplete(broken)), 3},
		{fmt.Errorf("stop: %w", ops.ErrInterrupted), 130},
		{errors.Join(ops.ErrInterrupted, ops.ErrInterrupted), 130},
		{errors.Join(ops.ErrInterrupted, broken), 1},
		{fmt.Errorf("run: %w", errors.Join(broken, ops.Incomplete(broken))), 1},
		{errors.Join(ops.Incomplete(broken), fmt.Errorf("b: %w", errors.Join(ops.ErrInterrupted, broken))), 1},
		{errors.Join(ops.ErrInterrupted, ops.Incomplete(broken)), 3},
		{errors.Join(ops.Incomplete(broken), ops.Config(broken)), 2},
		{ops.Config(errors.Join(broken, ops.ErrInterrupted)), 2},
	} {
		if got := ops.ExitCode(c.err); got != c.want {
			t.Errorf("exit code of %v is %d, want %d", c.err, got, c.want)
		}
	}
}

func TestFailuresLeavesInterruptionsOut(t *testing.T) {
	broken := errors.New("broken")
	stopped := fmt.Errorf("run: %w", ops.ErrInterrupted)
	for want, errs := range map[string][]error{
		"broken":                      {stopped, nil, broken},
		"run: interrupted":            {nil, stopped},
		"broken\nrun: not read: here": {broken, stopped, fmt.Errorf("run: %w", ops.Incomplete(errors.New("not read: here")))},
	} {
		if got := ops.Failures(errs...); got == nil || got.Error() != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	if err := ops.Failures(nil, nil); err != nil {
		t.Error(err)
	}
}

func TestSignalEndsTheContext(t *testing.T) {
	code := ops.Main(func(ctx context.Context) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		return fmt.Errorf("run: %w", context.Cause(ctx))
	})
	if code != ops.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ops.ExitInterrupted)
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, o := range []ops.LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := ops.Logger(io.Discard, false, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestLoggerWritesJSONUnlessToATerminal(t *testing.T) {
	for terminal, want := range map[bool]string{false: `"sink":"warehouse"`, true: "hello"} {
		var out strings.Builder
		logger, err := ops.Logger(&out, terminal, ops.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		logger.Info().Str("sink", "warehouse").Msg("hello")
		logger.Debug().Msg("hidden")
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "hidden") {
			t.Errorf("terminal %v: logged %s", terminal, got)
		}
		if isJSON := strings.HasPrefix(out.String(), "{"); isJSON == terminal {
			t.Errorf("terminal %v: logged %s", terminal, out.String())
		}
	}
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stuck := map[string]string{}
	health := ops.NewHealth(func() map[string]string { return stuck })
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "answer"}, func() float64 { return 42 }))
	addr, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- ops.Serve(ctx, "127.0.0.1:0", registry, health, func(a net.Addr) { addr <- a })
	}()
	base := "http://" + (<-addr).String()
	check := func(path string, status int, contains string) {
		t.Helper()
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != status || !strings.Contains(string(body), contains) {
			t.Errorf("%s: %d %s, want %d and %q", path, answer.StatusCode, body, status, contains)
		}
	}
	check("/metrics", 200, "answer 42")
	check("/healthz", 200, "")
	check("/readyz", 503, `"ready":false`)
	health.Ready()
	check("/readyz", 200, `"ready":true`)
	stuck["warehouse"] = "connection refused"
	check("/healthz", 503, "connection refused")
	delete(stuck, "warehouse")
	check("/healthz", 200, "")
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
