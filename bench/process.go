package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of the commands at work.
type process struct {
	cmd  *exec.Cmd
	text bytes.Buffer // what it printed; to be read after wait
	done chan struct{}
	err  error // of its end; valid after done
}

// start starts a command, which is asked to stop when ctx ends.
func start(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.text
	}
	cmd.Stderr = &p.text
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// command returns one of the built commands, to run in the env's folder.
func (e *env) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return e.external(ctx, filepath.Join(e.bin, name), args...)
}

// external returns any program, to run in the env's folder.
func (e *env) external(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = e.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// wait waits for the end. The error holds what the process printed.
func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(p.cmd.Args, " "), p.err, &p.text)
	}
	return nil
}

// stop asks the process to end and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	<-p.done
}

// finish runs a command to its end and returns what it printed and how long it
// took, from before its start to after its end.
func finish(ctx context.Context, cmd *exec.Cmd) (string, time.Duration, error) {
	began := time.Now()
	p, err := start(ctx, cmd)
	if err != nil {
		return "", 0, err
	}
	err = p.wait()
	return p.text.String(), time.Since(began), err
}

// peak returns the most memory that a process has had resident so far, in bytes.
func (p *process) peak() (uint64, error) { return p.memory("VmHWM:") }

// peakUntilEnd waits for the end and returns the most memory that the process had resident, in
// bytes. It looks again and again, and not once at the end: what the system tells of a process
// that has ended is no less than what the one had that started it.
func (p *process) peakUntilEnd() (peak uint64, err error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := p.peak()
		if err == nil {
			peak = max(peak, now)
		}
		select {
		case <-p.done:
			return peak, p.wait()
		case <-tick.C:
		}
	}
}

// ownMemory returns the memory of the process now, in bytes, without that of files, such as
// its program, which the system can drop.
func (p *process) ownMemory() (uint64, error) { return p.memory("RssAnon:") }

// memory returns a line of /proc/PID/status.
func (p *process) memory(name string) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w\n%s", filepath.Base(p.cmd.Path), err, &p.text)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("this system does not tell the memory of a process")
}

// startListening starts a command that first prints these words in turn, each in a
// line with an address, and returns the addresses.
func startListening(ctx context.Context, cmd *exec.Cmd, words ...string) (*process, []string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout = w
	p, err := start(ctx, cmd)
	_ = w.Close() // the process has its own
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	lines := bufio.NewReader(r)
	var addresses []string
	for _, word := range words {
		line, err := lines.ReadString('\n')
		address, ok := strings.CutPrefix(strings.TrimSpace(line), word+" ")
		if err != nil || !ok {
			p.stop()
			return nil, nil, fmt.Errorf("%s did not say where it is %s: %w\n%s", cmd.Path, word, errors.Join(err, p.err, r.Close()), &p.text)
		}
		addresses = append(addresses, address)
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines) // until the process ends
		_ = r.Close()
	}()
	return p, addresses, nil
}
