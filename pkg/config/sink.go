package config

import "time"

// common is what the sections of all destinations have.
type common struct {
	kind     string
	writers  int
	delay    time.Duration
	onBadRow OnBadRow
}

func (s Sink) common() common {
	switch {
	case s.Postgres != nil:
		return common{"postgres", s.Postgres.Writers, 0, s.Postgres.OnBadRow}
	case s.Delta != nil:
		return common{"delta", 1, s.Delta.MaxCommitDelay, s.Delta.OnBadRow}
	case s.Redis != nil:
		return common{"redis", s.Redis.Writers, 0, s.Redis.OnBadRow}
	case s.Custom != nil:
		return common{s.Custom.Kind, s.Custom.Writers, s.Custom.MaxCommitDelay, s.Custom.OnBadRow}
	default:
		return common{writers: 1}
	}
}

// Kind is the key, or the kind, by which the file names the destination.
func (s Sink) Kind() string { return s.common().kind }

// CommitDelay is how long entries may be collected before they are committed; 0: not at
// all.
func (s Sink) CommitDelay() time.Duration { return s.common().delay }

// Writers is how many calls of Apply may run at once in a process.
func (s Sink) Writers() int { return s.common().writers }

// PutsAside reports whether rows that the destination refuses become dead letters.
func (s Sink) PutsAside() bool { return s.common().onBadRow == DeadLetter }
