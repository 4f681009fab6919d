package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// machine is where a report was made.
type machine struct {
	processor, system, memory string
	postgres, settings        string
	modules                   []string
}

// describeMachine describes this machine and the database. What cannot be found out is
// "unknown": it does not keep anybody from measuring.
func describeMachine(ctx context.Context, e *env) machine {
	m := machine{
		processor: fmt.Sprintf("%d × %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		system:    "Linux " + line("/proc/sys/kernel/osrelease"),
		memory:    gigabytes(field("/proc/meminfo", "MemTotal")),
		postgres:  "unknown", settings: "unknown",
	}
	if runtime.GOOS != "linux" {
		m.system = runtime.GOOS + "/" + runtime.GOARCH
	}
	_ = e.db.QueryRow(ctx, "SELECT current_setting('server_version')").Scan(&m.postgres) // it stays unknown
	_ = e.db.QueryRow(ctx, `SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
		WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'wal_level', 'full_page_writes')`).Scan(&m.settings)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/apache/arrow-go/v18", "github.com/jackc/pgx/v5", "github.com/nats-io/nats-server/v2", "google.golang.org/grpc":
				m.modules = append(m.modules, d.Path+" "+d.Version)
			}
		}
	}
	return m
}

// load returns how busy the machine is, over the last minute.
func load() string { return strings.SplitN(line("/proc/loadavg")+" ", " ", 2)[0] }

func line(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// field returns the value of the first line "name: value".
func field(file, name string) string {
	for l := range strings.Lines(line(file)) {
		if key, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func gigabytes(kib string) string {
	n, err := strconv.ParseUint(strings.TrimSuffix(kib, " kB"), 10, 64)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GiB", float64(n)/(1<<20))
}
