package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// destination is where a follower writes, with default settings.
type destination struct {
	name string
	sink func(run string) string // of the configuration; run is a name that no other has
}

// destinations returns those that can be measured; lake are more keys of Delta's.
func (e *env) destinations(lake string) []destination {
	all := []destination{
		{"PostgreSQL", func(run string) string {
			return fmt.Sprintf("{ name: warehouse, postgres: { dsn: %q, table: %s } }", e.dsn, run)
		}},
		{"Delta", func(string) string { return fmt.Sprintf("{ name: lake, delta: { path: ./lake%s } }", lake) }},
	}
	if e.redis == "" {
		return all
	}
	return append(all, destination{"Redis", func(run string) string {
		return fmt.Sprintf("{ name: cache, redis: { url: %q, key: %q } }", e.redis, run+":{_block_num}:{log_index}")
	}})
}

// follower is `ampipe run` that follows a chain into one destination.
type follower struct {
	*process
	page string // its address
	dir  string // with its configuration and all that it writes
}

// close stops it and removes its folder.
func (f follower) close() error {
	f.stop()
	return os.RemoveAll(f.dir)
}

// startFollower starts one with an empty store.
func (e *env) startFollower(ctx context.Context, amp string, d destination) (follower, error) {
	dir, err := os.MkdirTemp(e.dir, "follower")
	if err != nil {
		return follower{}, err
	}
	page, err := freeAddress()
	if err != nil {
		return follower{}, err
	}
	name := filepath.Base(dir)
	file := filepath.Join(dir, "pipeline.yaml")
	text := fmt.Sprintf(`pipeline: %s
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: 0 }
nats: { embedded: ./nats }
page: %s
sinks: [%s]
`, name, amp, page, d.sink(name))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return follower{}, err
	}
	cmd := e.command(ctx, "ampipe", "run", "-c", file)
	cmd.Dir = dir
	p, err := start(ctx, cmd)
	return follower{p, page, dir}, err
}

// observation is a follower, and what it has taken of the processor while it was observed.
type observation struct {
	destination string
	follower
	cpu time.Duration
}

// followAll follows a chain into each destination. The function that it returns ends all,
// also after an error.
func (e *env) followAll(ctx context.Context, amp string) (all []*observation, end func() error, err error) {
	end = func() error {
		var errs []error
		for _, o := range all {
			errs = append(errs, o.close())
		}
		return errors.Join(errs...)
	}
	for _, d := range e.destinations("") {
		f, err := e.startFollower(ctx, amp, d)
		if err != nil {
			return all, end, err
		}
		all = append(all, &observation{destination: d.name, follower: f})
	}
	return all, end, nil
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
