package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// measureHashes and measureStrings compare the writer, fed from memory, with the
// same keys and values as plain commands that were encoded before and are sent
// through one connection without waiting. Guard, index and coverage are in ours
// alone.
func measureHashes(ctx context.Context, e *env, r *report) error {
	return e.measureStructure(ctx, r, config.Hash, 0.70)
}

func measureStrings(ctx context.Context, e *env, r *report) error {
	return e.measureStructure(ctx, r, config.String, 0.60)
}

func (e *env) measureStructure(ctx context.Context, r *report, structure config.Structure, demand float64) error {
	if e.redis == "" {
		r.note("Redis is not measured: REDIS_URL is not set.")
		return nil
	}
	client, err := e.measuredRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is in flight
	p, err := read(e.cacheFile(e.scale.rows, structure))
	if err != nil {
		return err
	}
	table, changes, release, err := e.decoded(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	ours := side{"redis.Writer from memory", func(ctx context.Context) (sample, error) {
		if err := client.FlushDB(ctx).Err(); err != nil {
			return sample{}, err
		}
		w := redis.New(*p.Sinks[0].Redis)
		if err := w.Open(ctx, table); err != nil {
			return sample{}, errors.Join(err, w.Close())
		}
		return e.applyAll(ctx, "redis", w, changes)
	}}
	if _, err := ours.run(ctx); err != nil { // for the keys and values
		return err
	}
	plain, err := plainCommands(ctx, client, structure, e.scale.rows)
	if err != nil {
		return err
	}
	err = r.add(e.compare(ctx, "Redis sink from memory, "+string(structure), demand, ours, plain))
	return errors.Join(err, client.FlushDB(ctx).Err())
}

// cacheFile writes the configuration of a load into Redis.
func (e *env) cacheFile(rows int, structure config.Structure) (string, error) {
	return e.write("cache.yaml", rows, embedded,
		fmt.Sprintf(`{ name: cache, redis: { url: %q, structure: %s, key: "log:{_block_num}:{log_index}" } }`, e.redis, structure))
}

// plainCommands returns the side that writes what is in Redis now, as plain commands.
func plainCommands(ctx context.Context, client *driver.Client, structure config.Structure, rows int) (side, error) {
	commands, err := encodeKeys(ctx, client, structure)
	return side{"plain commands, encoded before", func(ctx context.Context) (sample, error) {
		if err := client.FlushDB(ctx).Err(); err != nil {
			return sample{}, err
		}
		took, err := pipeline(ctx, client.Options(), commands, rows)
		return sample{rows, took}, err
	}}, err
}

// measuredRedis connects to a Redis that logs every change (everysec) and does not rewrite
// that log in between, which would take a core from whichever side is at work.
func (e *env) measuredRedis(ctx context.Context) (*driver.Client, error) {
	client, err := e.connectRedis()
	if err != nil {
		return nil, err
	}
	if err := client.ConfigSet(ctx, "auto-aof-rewrite-percentage", "0").Err(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

func (e *env) connectRedis() (*driver.Client, error) {
	options, err := driver.ParseURL(e.redis)
	if err != nil {
		return nil, errors.New("REDIS_URL is not a URL of Redis")
	}
	options.ReadTimeout = time.Minute // emptying a full one takes seconds on a busy machine
	return driver.NewClient(options), nil
}

// emptyRedis removes all keys, and has the log of changes rewritten. That is not done by itself
// while Redis is measured, and the log of all measurements would fill the disk.
func (e *env) emptyRedis(ctx context.Context) (err error) {
	if e.redis == "" {
		return nil
	}
	client, err := e.connectRedis()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := client.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	if err := rewritten(ctx, client); err != nil {
		return err
	}
	if err := client.BgRewriteAOF(ctx).Err(); err != nil {
		return fmt.Errorf("have Redis rewrite its log: %w", err)
	}
	return rewritten(ctx, client)
}

// rewritten waits until Redis does not rewrite its log of changes.
func rewritten(ctx context.Context, client *driver.Client) error {
	looks := time.NewTicker(50 * time.Millisecond)
	defer looks.Stop()
	for {
		info, err := client.Info(ctx, "persistence").Result()
		if err != nil {
			return fmt.Errorf("ask whether Redis rewrites its log: %w", err)
		}
		if strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0") {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-looks.C:
		}
	}
}

// encodeKeys reads every row's key and value back and writes the commands that make
// them.
func encodeKeys(ctx context.Context, client *driver.Client, structure config.Structure) ([]byte, error) {
	var out []byte
	command := func(words ...string) {
		out = append(strconv.AppendInt(append(out, '*'), int64(len(words)), 10), "\r\n"...)
		for _, word := range words {
			out = append(strconv.AppendInt(append(out, '$'), int64(len(word)), 10), "\r\n"...)
			out = append(append(out, word...), "\r\n"...)
		}
	}
	const page = 1000
	for cursor := uint64(0); ; {
		keys, next, err := client.Scan(ctx, cursor, "log:*", page).Result()
		if err != nil {
			return nil, err
		}
		pipe := client.Pipeline()
		var hashes []*driver.MapStringStringCmd
		var texts []*driver.StringCmd
		for _, key := range keys {
			if structure == config.Hash {
				hashes = append(hashes, pipe.HGetAll(ctx, key))
			} else {
				texts = append(texts, pipe.Get(ctx, key))
			}
		}
		if len(keys) > 0 {
			if _, err := pipe.Exec(ctx); err != nil {
				return nil, err
			}
		}
		for i, h := range hashes {
			words := []string{"HSET", keys[i]}
			for field, value := range h.Val() {
				words = append(words, field, value)
			}
			command(words...)
		}
		for i, s := range texts {
			command("SET", keys[i], s.Val())
		}
		if cursor = next; cursor == 0 {
			return out, nil
		}
	}
}

// pipeline sends commands through one connection and reads an answer to each.
func pipeline(ctx context.Context, o *driver.Options, commands []byte, answers int) (time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, o.Network, o.Addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }() // everything is answered
	began := time.Now()
	read := make(chan error, 1)
	go func() {
		lines := bufio.NewReaderSize(conn, 64<<10)
		for range answers {
			line, err := lines.ReadSlice('\n')
			if err == nil && bytes.HasPrefix(line, []byte("-")) {
				err = fmt.Errorf("redis answers %s", bytes.TrimSpace(line))
			}
			if err != nil {
				read <- err
				_ = conn.Close() // ends the writing as well
				return
			}
		}
		read <- nil
	}()
	_, err = conn.Write(commands)
	err = errors.Join(err, <-read)
	return time.Since(began), err
}
