package pipeline

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
)

// checkFiles returns a permanent error if the process may open fewer files, connections
// included, than the pipelines need. Go raises the soft limit to the hard one by itself.
func checkFiles(pipelines ...*config.Pipeline) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask how many files may be opened: %w", err)
	}
	if need := filesOf(pipelines...); limit.Max < need {
		return fault.Permanent(fmt.Errorf("this process may open %d files, and the configuration needs %d: "+
			"raise the limit to %d or more (ulimit -n, LimitNOFILE= of a systemd unit, "+
			"the ulimit nofile of a container)", limit.Max, need, need))
	}
	return nil
}

// filesOf returns how many files the pipelines need, with room to spare: a pipeline with one
// sink was seen to have 16.
func filesOf(pipelines ...*config.Pipeline) uint64 {
	const process, embedded, pipeline, bucket, server = 32, 32, 8, 16, 16
	need := process
	folders := map[string]bool{}
	for _, p := range pipelines {
		need += pipeline
		if folder := p.NATS.Embedded; folder != "" && !folders[folder] {
			folders[folder] = true
			need += embedded
		}
		for _, s := range p.Sinks {
			switch {
			case s.Postgres != nil:
				need += s.Postgres.Writers + 3
			case s.Delta != nil:
				need += bucket
			default:
				need += server
			}
		}
	}
	return uint64(need)
}

// maxSkew is by how much clocks may differ before it is said.
const maxSkew = 10 * time.Second

// The clock of PostgreSQL is not compared: it is never held against the one of this
// machine. What lasts how long is measured within one of them, which sessions move is seen
// by what changes, and the times in the schema ampipe are for people to read.

// clockWarning returns by how much the clock of this machine is ahead of that of NATS, if it
// is by much, or behind.
func clockWarning(ahead time.Duration) string {
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	if ahead.Abs() < maxSkew {
		return ""
	}
	return fmt.Sprintf("the clock of this machine is %v %s that of the NATS server: set both by NTP; "+
		"until then log.replay and what is said about delays are wrong by as much",
		ahead.Abs().Round(time.Second), side)
}
