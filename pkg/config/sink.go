package config

import "time"

// Kind is the key, or the kind, by which the file names the destination.
func (s Sink) Kind() string {
	switch {
	case s.Postgres != nil:
		return "postgres"
	case s.Delta != nil:
		return "delta"
	case s.Redis != nil:
		return "redis"
	case s.Custom != nil:
		return s.Custom.Kind
	default:
		return ""
	}
}

// CommitDelay is how long entries may be collected before they are committed; 0: not at
// all.
func (s Sink) CommitDelay() time.Duration {
	switch {
	case s.Delta != nil:
		return s.Delta.MaxCommitDelay
	case s.Custom != nil:
		return s.Custom.MaxCommitDelay
	default:
		return 0
	}
}

// Writers is how many calls of Apply may run at once in a process.
func (s Sink) Writers() int {
	switch {
	case s.Postgres != nil:
		return s.Postgres.Writers
	case s.Redis != nil:
		return s.Redis.Writers
	case s.Custom != nil:
		return s.Custom.Writers
	default:
		return 1
	}
}

// PutsAside reports whether rows that the destination refuses become dead letters.
func (s Sink) PutsAside() bool {
	switch {
	case s.Postgres != nil:
		return s.Postgres.OnBadRow == DeadLetter
	case s.Delta != nil:
		return s.Delta.OnBadRow == DeadLetter
	case s.Redis != nil:
		return s.Redis.OnBadRow == DeadLetter
	case s.Custom != nil:
		return s.Custom.OnBadRow == DeadLetter
	default:
		return false
	}
}
