package ops_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/prometheus/client_golang/prometheus"
)

// TestExitCodesAreDocumented compares the codes with the guide, which scripts rely on.
func TestExitCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, sentence := range map[int]string{
		ops.ExitDone:        "Exit codes: 0 done; ",
		ops.ExitFailed:      "; 1 failed; ",
		ops.ExitConfig:      "; 2 refused before anything was started (",
		ops.ExitIncomplete:  "; 3 finished, but ",
		ops.ExitInterrupted: "; 130 interrupted.",
	} {
		if !strings.Contains(string(page), sentence) || !strings.Contains(sentence, fmt.Sprintf(" %d ", code)) {
			t.Errorf("exit code %d is not documented as %q", code, sentence)
		}
	}
}

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

// TestTheEndOfAContextIsAnInterruption: whatever ends it, and also if its cause was lost on
// the way.
func TestTheEndOfAContextIsAnInterruption(t *testing.T) {
	enough := errors.New("enough")
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"by its cancel function": context.WithCancel,
		"by a deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 0)
		},
		"with a cause": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(enough) }
		},
	} {
		ctx, cancel := end(t.Context())
		code := ops.Main(ctx, ops.Reporter{Out: io.Discard}, func(inner context.Context) error {
			cancel()
			<-inner.Done()
			cause := context.Cause(inner)
			if !errors.Is(cause, ops.ErrInterrupted) || !errors.Is(cause, context.Cause(ctx)) {
				t.Errorf("%s: the cause is %v", name, cause)
			}
			return errors.Join(fmt.Errorf("connect: %w", inner.Err()), fmt.Errorf("ask: %w", cause))
		})
		if code != ops.ExitInterrupted {
			t.Errorf("%s: exit code %d, want %d", name, code, ops.ExitInterrupted)
		}
	}
	if code := ops.ExitCode(fmt.Errorf("connect: %w", context.Canceled)); code != ops.ExitFailed {
		t.Errorf("in a process that was not interrupted, what was cancelled gives exit code %d", code)
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
	stage := health.Stage{Name: "sink warehouse", Unready: "the destination is not open yet"}
	pipeline := health.Pipeline{Name: "eth-logs", Stages: []health.Stage{stage}}
	var mu sync.Mutex
	change := func(how func()) {
		mu.Lock()
		defer mu.Unlock()
		how()
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "answer"}, func() float64 { return 42 }))
	listener, err := ops.Listen(ctx, "127.0.0.1:0", "for a test")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- ops.Serve(ctx, listener, registry, func() []health.Pipeline {
			mu.Lock()
			defer mu.Unlock()
			return []health.Pipeline{pipeline}
		})
	}()
	check := func(path string, status int, contains string) {
		t.Helper()
		answer, err := http.Get("http://" + listener.Addr().String() + path)
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
	check("/livez", 200, `"ok": true`)
	check("/healthz", 200, `"parts": []`)
	check("/readyz", 503, "the destination is not open yet")
	change(func() { pipeline.Stages = []health.Stage{{Name: stage.Name}} })
	check("/readyz", 200, `"ok": true`)
	change(func() {
		pipeline.Waits = []health.Wait{{Part: stage.Name, Reason: "connection <refused>", Since: time.Now().Add(-time.Hour)}}
	})
	check("/healthz", 503, "connection <refused>")
	change(func() { pipeline.Loops = []health.Loop{{Part: "planner", Last: time.Now().Add(-time.Hour)}} })
	check("/livez", 503, "hangs")
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	taken, err := ops.Listen(t.Context(), "127.0.0.1:0", "for a test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for address, want := range map[string]string{
		taken.Addr().String(): "another process listens there",
		"9090":                "write it as in :9090",
		"127.0.0.1:70000":     "write it as in :9090",
		"192.0.2.1:9090":      "does not have that address",
	} {
		_, err := ops.Listen(t.Context(), address, "for a test")
		if err == nil || ops.ExitCode(err) != ops.ExitConfig || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error of the configuration that says %q", address, err, want)
		}
	}
}
