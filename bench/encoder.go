package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// encodeRound is how many rows BenchmarkEncodeLogs encodes in a round.
const encodeRound = 50_000

var rowsPerSecond = regexp.MustCompile(`BenchmarkEncodeLogs\S*\s+(\d+)\s.*?([0-9.e+]+) rows/s`)

// measureEncoder compares the encoder alone with raw COPY. What binds columns to it is
// not exported, so it is its own benchmark that runs, in turns with raw COPY; its
// rows have the same columns and about the same size.
func measureEncoder(ctx context.Context, e *env, r *report) error {
	binary := filepath.Join(e.dir, "postgres.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./pkg/sink/postgres")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the benchmark of the encoder: %w\n%s", err, out)
	}
	encode := side{"encoder", func(ctx context.Context) (sample, error) {
		text, _, err := finish(ctx, e.external(ctx, binary, "-test.run=^$", "-test.bench=^BenchmarkEncodeLogs$",
			"-test.benchtime="+strconv.Itoa(max(e.scale.rows/encodeRound, 1))+"x"))
		if err != nil {
			return sample{}, err
		}
		found := rowsPerSecond.FindStringSubmatch(text)
		if found == nil {
			return sample{}, fmt.Errorf("the benchmark of the encoder does not tell its rate\n%s", text)
		}
		rounds, _ := strconv.Atoi(found[1]) // digits
		rate, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return sample{}, fmt.Errorf("read the rate of the encoder: %w", err)
		}
		rows := rounds * encodeRound
		return sample{rows, time.Duration(float64(rows) / rate * float64(time.Second))}, nil
	}}
	return r.add(e.compare(ctx, "COPY encoder alone", 15, encode, e.copyRaw(e.scale.rows)))
}
