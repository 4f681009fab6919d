package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// followerDemand is how much memory of its own (RssAnon) `ampipe run` may have while it
// follows a chain, when its history is loaded. Its program is not in it: that is RssFile,
// which the system drops when it needs the room.
const followerDemand = 40 << 20

// followerWorst is what fails: the blocks of the log that the server keeps, and the runtime, are
// most of it.
const followerWorst = 56 << 20

// measureFollowers loads a history into each destination, at the same time, follows the chain,
// a block a second, and measures how much memory each takes after a while: the most of its
// last looks.
func (e *env) measureFollowers(ctx context.Context, r *report) (err error) {
	const looks = 10
	chain, err := e.startChain(ctx, "--blocks", strconv.Itoa(e.scale.memory[0]/rowsPerBlock+unread),
		"--logs-per-block", strconv.Itoa(rowsPerBlock), "--live", "--block-time", "1s")
	if err != nil {
		return err
	}
	defer chain.stop()
	all, end, err := e.followAll(ctx, chain.amp)
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := o.awaitHistory(ctx); err != nil {
			return fmt.Errorf("%s: %w", o.destination, err)
		}
	}
	every := min(time.Second, e.scale.observed/looks)
	if err := all[0].pause(ctx, e.scale.observed-looks*every); err != nil {
		return err
	}
	most := make([]uint64, len(all))
	for range looks {
		if err := all[0].pause(ctx, every); err != nil {
			return err
		}
		for i, o := range all {
			now, err := o.ownMemory()
			if err != nil {
				return err
			}
			most[i] = max(most[i], now)
		}
	}
	for i, o := range all {
		r.live(limit{
			what: fmt.Sprintf("%s: memory of its own (RssAnon), %v after a history of %s rows was in the log",
				o.destination, e.scale.observed, thousands(float64(e.scale.memory[0]))),
			value: mib(most[i]), unit: "MiB", most: mib[uint64](followerDemand), worst: mib[uint64](followerWorst),
		})
	}
	return nil
}
