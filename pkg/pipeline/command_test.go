package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// TestTheCommandOfADestination runs a sink, has its configuration read again, and compares
// and repairs what it has loaded, by the command that SinkCommand makes.
func TestTheCommandOfADestination(t *testing.T) {
	t.Parallel()
	chain, other := amptest.NewChain(amptest.Network, amptest.Schema), amptest.NewChain(amptest.Network, amptest.Schema)
	chain.Extend(amptest.Made(block.Range{End: 40}, 0)...)
	other.Extend(amptest.Made(block.Range{End: 40}, 1)...)
	var changed atomic.Bool // the source computes rows anew
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		switch {
		case q.Stream():
			return chain.Answer(q)
		case changed.Load():
			return batch(other, q.SQL)
		default:
			return batch(chain, q.SQL)
		}
	})
	dir := t.TempDir()
	nats, err := queue.StartServer(t.Context(), queue.ServerConfig{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Close() })
	file := filepath.Join(dir, "pipeline.yaml")
	write := func(level string) {
		text := fmt.Sprintf("pipeline: hashes\nsource: { amp: %q, query: \"SELECT _block_num, hash FROM eth_rpc.blocks\" }\n"+
			"range: { min_block: 0, partition_size: 10, reorg_buffer: 5 }\nlive: { start: after-backfill }\nnats: { url: %q }\n"+
			"log: { max_bytes: 64MiB }\nlog_level: %s\nsinks: [ { name: store, custom: { kind: memory } } ]\n", srv.URL(), nats.URL(), level)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("info")
	pipelines, err := config.Load(file, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	store := &memsink.Store{}
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return store.Writer(), nil })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	reload, log := make(chan os.Signal), &journal{}
	go func() { ended <- pipeline.Run(ctx, pipelines, pipeline.Options{Logger: zerolog.Nop()}) }() // all but the sink
	go func() { ended <- pipeline.RunSinkCommand(ctx, reload, nil, log, memory, "run", "--config", file) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		}
	})
	until(t, "everything is loaded", func() bool { return len(store.Rows()) == 40 })

	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.tail(journalLines))
		}
	})
	write("debug")
	reload <- syscall.SIGHUP
	until(t, "the level of the log is taken", func() bool {
		return strings.Contains(log.tail(journalLines), `"key":"log_level","from":"info","to":"debug",`)
	})

	verify := func(args ...string) (pipeline.Verified, error) {
		t.Helper()
		var out, errs bytes.Buffer
		err := pipeline.RunSinkCommand(t.Context(), nil, &out, &errs, memory, append([]string{"--config", file, "verify", "--json"}, args...)...)
		var v pipeline.Verified
		if bad := json.Unmarshal(out.Bytes(), &v); bad != nil {
			t.Fatalf("%v: %s%s", bad, out.String(), errs.String())
		}
		return v, err
	}
	if v, err := verify(); err != nil || v.Result != "equal" || v.Rows != 40 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	changed.Store(true)
	if v, err := verify("--repair", "--dry-run"); ops.ExitCode(err) != ops.ExitIncomplete || v.Differing != 40 || v.Repair == nil {
		t.Errorf("verify --repair: %+v, %v", v, err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it does not come to that %s", what)
		}
	}
}

// TestTheCommandLineOfADestination: flags may stand on both sides of the verb.
func TestTheCommandLineOfADestination(t *testing.T) {
	t.Parallel()
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return (&memsink.Store{}).Writer(), nil })
	for line, want := range map[string]string{
		"fly":                   `"fly" is not one of run, check, doctor, verify`,
		"verify more":           `verify takes no "more"`,
		"verify --dry-run":      "--dry-run and --wait go with --repair",
		"verify --config none":  "none",
		"--config none verify":  "none",
		"--config none":         "none",
		"--log-level loud run":  `log level "loud" is not one of`,
		"run --no-such-flag":    "flag provided but not defined: -no-such-flag",
		"verify --repair --dry": "flag provided but not defined: -dry",
	} {
		var errs bytes.Buffer
		err := pipeline.RunSinkCommand(t.Context(), nil, &errs, &errs, memory, strings.Fields(line)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}
