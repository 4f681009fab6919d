package main

import (
	"context"
	"errors"
	"fmt"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
)

// measureRedisRun compares a whole run into hashes with the same keys and values as plain
// HSET, encoded before and sent through one connection without waiting.
func measureRedisRun(ctx context.Context, e *env, r *report) error {
	if e.redis == "" {
		r.note("A run into Redis is not measured: REDIS_URL is not set.")
		return nil
	}
	client, err := e.measuredRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is in flight
	ours := side{"ampipe run, Redis hash", func(ctx context.Context) (sample, error) { return e.loadHashes(ctx, client) }}
	if _, err := ours.run(ctx); err != nil { // for the keys and values
		return err
	}
	plain, err := plainCommands(ctx, client, config.Hash, e.scale.cached)
	if err != nil {
		return err
	}
	err = r.add(e.compare(ctx, "end to end, Redis hash", 0.80, ours, plain))
	return errors.Join(err, client.FlushDB(ctx).Err())
}

// loadHashes runs the command into an empty Redis.
func (e *env) loadHashes(ctx context.Context, client *driver.Client) (sample, error) {
	if err := errors.Join(client.FlushDB(ctx).Err(), e.remove("nats")); err != nil {
		return sample{}, err
	}
	file, err := e.cacheFile(e.scale.cached, config.Hash)
	if err != nil {
		return sample{}, err
	}
	_, took, err := finish(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	if err != nil {
		return sample{}, err
	}
	keys, err := client.DBSize(ctx).Result()
	if err == nil && keys < int64(e.scale.cached) { // besides rows there is what is known of them
		err = fmt.Errorf("%d keys are in Redis, and not %d rows", keys, e.scale.cached)
	}
	return sample{e.scale.cached, took}, err
}
