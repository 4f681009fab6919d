package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a follower tells about itself.
const (
	historyBlocks = "ampipe_history_blocks"
	logBlocks     = "ampipe_extracted_blocks"
	sinkLiveBlock = "ampipe_sink_live_block"
)

// errNoMetric means that a follower does not tell a value yet.
var errNoMetric = errors.New("the follower has no such metric")

// metric returns a value that the follower shows on its page. It has one pipeline and one
// sink, so that labels do not matter.
func (f follower) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.page+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, name)
		if found && (rest[0] == '{' || rest[0] == ' ') {
			return strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		}
	}
	return 0, fmt.Errorf("%w: %s", errNoMetric, name)
}

// askEvery is how often a follower is asked how far it is. An answer takes a millisecond.
const askEvery = 50 * time.Millisecond

// await waits until the destination holds a live block.
func (f follower) await(ctx context.Context, block uint64) error {
	return f.until(ctx, fmt.Sprint("block ", block), func() (bool, error) {
		at, err := f.metric(ctx, sinkLiveBlock)
		return at >= float64(block), err
	})
}

// awaitHistory waits until the history is in the log. The destination has it soon after.
func (f follower) awaitHistory(ctx context.Context) error {
	return f.until(ctx, "the history", func() (bool, error) {
		all, err := f.metric(ctx, historyBlocks)
		if err != nil {
			return false, err
		}
		has, err := f.metric(ctx, logBlocks)
		return all > 0 && has >= all, err
	})
}

// until waits until done returns true. That the page is not there yet is no error.
func (f follower) until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		reached, err := done()
		if reached && err == nil {
			return nil
		}
		select {
		case <-f.done:
			return errors.Join(fmt.Errorf("wait for %s: the run has ended", what), f.wait())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for %s: %w", what, context.Cause(ctx)), err)
		case <-tick.C:
		}
	}
}

// pause waits for a while, or until the follower ends, which is an error.
func (f follower) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-f.done:
		return errors.Join(errors.New("the run has ended"), f.wait())
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
