package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	driver "github.com/redis/go-redis/v9"
)

// spent is what something has cost: CPU time, user and system.
type spent struct {
	self      time.Duration // of this process
	other     time.Duration // of the server at the other end
	allocated uint64        // bytes, by this process
}

// meter adds up what is spent between start and stop.
type meter struct {
	other func() (time.Duration, error) // nil: there is no server
	began spent
	total spent
}

func (m *meter) start() (err error) {
	m.began, err = m.now()
	return err
}

func (m *meter) stop() error {
	now, err := m.now()
	m.total.self += now.self - m.began.self
	m.total.other += now.other - m.began.other
	m.total.allocated += now.allocated - m.began.allocated
	return err
}

func (m *meter) now() (s spent, err error) {
	if m.other != nil {
		if s.other, err = m.other(); err != nil {
			return s, err
		}
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return s, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	s.self = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(allocated)
	s.allocated = allocated[0].Value.Uint64()
	return s, nil
}

// stat is /proc/PID/stat as far as it is needed.
type stat struct {
	parent        int
	own, children time.Duration // children: those that have ended
}

// tick is the unit of /proc/PID/stat on every Linux that Go supports.
const tick = 10 * time.Millisecond

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc/%d/stat is malformed", pid)
	}
	var numbers [5]int
	for i, at := range []int{1, 11, 12, 13, 14} {
		if numbers[i], err = strconv.Atoi(fields[at]); err != nil {
			return stat{}, fmt.Errorf("/proc/%d/stat is malformed: %w", pid, err)
		}
	}
	return stat{numbers[0], time.Duration(numbers[1]+numbers[2]) * tick, time.Duration(numbers[3]+numbers[4]) * tick}, nil
}

// ofProcess returns the CPU time of the process so far.
func (p *process) ofProcess() (time.Duration, error) {
	s, err := statOf(p.cmd.Process.Pid)
	return s.own, err
}

// ofSource returns the CPU time of the development server.
func (e *env) ofSource() (time.Duration, error) { return e.server.ofProcess() }

// ofPostgres returns the CPU time of all processes of PostgreSQL.
func (e *env) ofPostgres() (time.Duration, error) {
	session, err := statOf(int(e.db.PgConn().PID()))
	if err != nil {
		return 0, err
	}
	server, err := statOf(session.parent)
	if err != nil {
		return 0, err
	}
	total := server.own + server.children
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, folder := range processes {
		pid, _ := strconv.Atoi(filepath.Base(folder)) // digits
		if s, err := statOf(pid); err == nil && s.parent == session.parent {
			total += s.own
		}
	}
	return total, nil
}

// ofRedis returns what returns the CPU time of Redis.
func ofRedis(ctx context.Context, client *driver.Client) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		text, err := client.Info(ctx, "cpu").Result()
		if err != nil {
			return 0, err
		}
		total := time.Duration(0)
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name == "used_cpu_sys" || name == "used_cpu_user" {
				seconds, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return 0, fmt.Errorf("read the CPU time of Redis: %w", err)
				}
				total += time.Duration(seconds * float64(time.Second))
			}
		}
		if total == 0 {
			return 0, errors.New("redis does not tell its CPU time")
		}
		return total, nil
	}
}
