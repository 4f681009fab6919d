// Command bench measures ampipe against what it stands on: raw COPY into
// PostgreSQL, a bare read from Amp. It starts everything it needs except
// PostgreSQL, takes both sides of every ratio turn by turn, and writes Markdown.
// scripts/bench runs it; docs/benchmarks/README.md is how to read what it writes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	dsn     string // of a PostgreSQL that nobody else uses
	redis   string // of a Redis that nobody else uses; empty: it is not measured
	bin     string // folder of the built commands
	python  string // an interpreter that has psycopg2; empty: there is none
	missing string // why there is none
	out     string // where the report goes; empty: standard output
	profile string // folder for CPU profiles; empty: none
	commit  string
	only    string
	rows    int // of each load of indexes, and of the larger of memory; 0: as many as the scale has
	smoke   bool
}

func main() {
	var o options
	flag.StringVar(&o.dsn, "dsn", os.Getenv("DATABASE_URL"), "`URL` of a PostgreSQL that nobody else uses")
	flag.StringVar(&o.redis, "redis", os.Getenv("REDIS_URL"), "`URL` of a Redis that nobody else uses: it is emptied")
	flag.StringVar(&o.bin, "bin", "bin", "`folder` of the built commands")
	flag.StringVar(&o.python, "python", "", "Python `interpreter` that has psycopg2")
	flag.StringVar(&o.missing, "no-python", "no -python was given", "why there is no -python")
	flag.StringVar(&o.out, "out", "", "`file` for the report (default: standard output)")
	flag.StringVar(&o.profile, "profile", "", "`folder` for CPU profiles of what runs in this process")
	flag.StringVar(&o.commit, "commit", "unknown", "revision of the source, for the report")
	flag.StringVar(&o.only, "only", "", "`regexp` of the measurements to take (default: all)")
	flag.IntVar(&o.rows, "rows", 0, "`rows` of each load of -only indexes (2,000,000; once, if more), and of the larger of memory (8,000,000)")
	flag.BoolVar(&o.smoke, "smoke", false, "small sizes: see that everything runs, judge no ratio")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run takes every measurement and writes the report. That a demand is not met is
// an error, after the report has been written. So is a measurement that fails: it ends the run,
// and the report has what came before it.
func run(ctx context.Context, o options) (err error) {
	s := full
	if o.smoke {
		s = smoke
	}
	if o.rows > 0 {
		if o.rows > s.indexed { // it takes minutes, in which what else the machine does evens out
			s.indexTurns = 1
		}
		s.indexed, s.memory[1] = o.rows, o.rows
	}
	e, err := openEnv(ctx, o, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()

	r := &report{options: o, scale: s, machine: describeMachine(ctx, e), copyRow: e.copyRow, arrowRow: e.arrowRow, started: time.Now()}
	for _, m := range measurements {
		if !o.wants(m.name) {
			continue
		}
		if failed := m.takeUntilMet(ctx, e, r); failed != nil {
			err = fmt.Errorf("%s: %w", m.name, failed)
			break
		}
	}
	r.finish()
	if failed := r.write(o.out); failed != nil {
		return errors.Join(err, failed)
	}
	if n := len(r.unmet()); n > 0 && !o.smoke {
		err = errors.Join(err, fmt.Errorf("%d demands are not met", n))
	}
	return err
}

// collect leaves nothing in memory that a measurement before has used, so that one is the same
// alone and behind others.
func collect() {
	runtime.GC()
	runtime.GC() // of what is in pools, the first only marks what nobody has used since
}

// measurement adds one or more results to a report.
type measurement struct {
	name string
	take func(context.Context, *env, *report) error
}

// tries is how often a measurement is taken at most. Other work on the machine only slows
// ampipe down, and few machines are quiet for three quarters of an hour.
const tries = 3

// takeUntilMet takes a measurement, and again if it does not meet what is demanded. The report
// has the results of the last time, those of the others in a note.
func (m measurement) takeUntilMet(ctx context.Context, e *env, r *report) error {
	var before []string // what the others did not meet
	for try := 1; ; try++ {
		fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), m.name)
		collect()
		part := &report{options: r.options, scale: r.scale}
		err := errors.Join(m.take(ctx, e, part), e.emptyRedis(ctx))
		unmet := part.unmet()
		if err != nil || len(unmet) == 0 || r.smoke || try == tries {
			if len(before) > 0 {
				part.note("Not met when it was measured before, in this run: %s.", strings.Join(before, "; "))
			}
			r.join(part.results)
			return err
		}
		before = append(before, unmet...)
		fmt.Fprintf(os.Stderr, "         not met, so it is measured again: %s\n", strings.Join(unmet, "; "))
	}
}

// The first one depends on the disk, which is slower for a while after others have left files
// of gigabytes to be deleted.
var measurements = []measurement{
	{"latency", measureLatency},
	{"budget", measureBudget},
	{"encoder", measureEncoder},
	{"library", measureLibrary},
	{"append", measureAppend},
	{"upsert", measureUpsert},
	{"existing", measureExisting},
	{"delta", measureDelta},
	{"flight", measureFlight},
	{"replay", measureReplay},
	{"executemany", measureExecutemany},
	{"indexes", measureIndexes},
	{"verify", measureVerify},
	{"memory", measureMemory},
	{"redis hash", measureHashes},
	{"redis string", measureStrings},
	{"redis run", measureRedisRun},
	{"concurrent", measureConcurrent},
	{"live rate", measureLiveRate},
	{"live cost", measureLiveCost},
	{"scaling", measureScaling},
	{"partitions", measurePartitions},
}
