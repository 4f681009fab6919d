package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Structure is the kind of Redis value that rows become.
type Structure string

const (
	Hash      Structure = "hash"       // a key per row, a field per column (default)
	String    Structure = "string"     // a key per row, a JSON document
	JSON      Structure = "json"       // the same, of the module RedisJSON
	Stream    Structure = "stream"     // an entry per row
	Set       Structure = "set"        // a JSON document per row, each once
	SortedSet Structure = "sorted_set" // the same with a score
	List      Structure = "list"       // a JSON document per row
)

// Keyed tells whether every row has a key of its own.
func (s Structure) Keyed() bool { return s == Hash || s == String || s == JSON }

// Redis is a set of keys in Redis or Valkey.
type Redis struct {
	URL       Secret // redis://, rediss:// or unix://; other nodes as ?addr=host:port
	Sentinel  string // name of the master; URL then names the sentinels
	Cluster   bool   // URL names nodes of a Redis Cluster
	Table     string // what {table} stands for
	Structure Structure
	Key       string        // pattern such as "{table}:{block_num}:{log_index}"; "{{" and "}}" are braces
	Columns   []string      // to write; empty: all
	Score     string        // sorted_set: a numeric column; empty: the block column
	NullEmpty bool          // null columns are written as empty texts instead of left out
	TTL       time.Duration // 0: keys stay
	Finality  uint64        // blocks below the highest whose index is kept; 0: all
	Writers   int           // concurrent calls per process; default 1
}

// String names the keys without the URL, which may hold a password.
func (r Redis) String() string { return fmt.Sprintf("%s %s", r.Structure, r.Key) }

// Writers is how many calls of Apply may run at once in a process.
func (s Sink) Writers() int {
	switch {
	case s.Postgres != nil:
		return s.Postgres.Writers
	case s.Redis != nil:
		return s.Redis.Writers
	default:
		return 1
	}
}

func readRedis(s *section) *Redis {
	r := &Redis{Structure: Hash, Writers: 1}
	address := s.secret("url", &r.URL)
	sentinel := s.text("sentinel", &r.Sentinel)
	if cluster := s.flag("cluster", &r.Cluster); r.Cluster && sentinel.set {
		s.complain(cluster.at, "%s and %s are both given; keep one", cluster.key, sentinel.key)
	}
	switch {
	case !address.set:
		s.missing("url", "give the server, such as ${REDIS_URL} or redis://localhost:6379/0, or url_file")
	case r.URL != "":
		checkRedisURL(s, address, r)
	}
	table := s.text("table", &r.Table)
	structure := choice(s, "structure", &r.Structure, Hash, String, JSON, Stream, Set, SortedSet, List)
	readRedisKey(s, r, structure)
	if strings.Contains(strings.ReplaceAll(r.Key, "{{", ""), "{table}") && !table.set {
		s.missing("table", "give the name that {table} stands for in the key")
	}
	_, columns := s.texts("columns", &r.Columns)
	for i, c := range r.Columns {
		if slices.Contains(r.Columns[:i], c) {
			s.complain(columns[i].at, "%s names column %q twice", s.name("columns"), columns[i].raw)
		}
	}
	if score := s.text("score", &r.Score); score.set && r.Structure != SortedSet {
		s.complain(score.at, "%s is used by structure: sorted_set only; remove it or set that structure", score.key)
	}
	null := "omit"
	choice(s, "null", &null, "omit", "empty")
	r.NullEmpty = null == "empty"
	if ttl := s.duration("ttl", &r.TTL); ttl.set && r.TTL != 0 && r.TTL < time.Second {
		s.complain(ttl.at, "%s must be at least 1s, not %q; remove it to keep keys for ever", ttl.key, ttl.raw)
	}
	number(s, "finality", &r.Finality, 1, 1<<40)
	number(s, "writers", &r.Writers, 1, 64)
	return r
}

// readRedisKey reads the pattern of keys, or a list of columns which stands for
// the usual pattern.
func readRedisKey(s *section, r *Redis, structure field) {
	f, n := s.ask("key")
	switch {
	case n == nil && r.Structure.Keyed():
		s.missing("key", fmt.Sprintf("structure: %s needs a key for every row, such as \"{table}:{block_num}:{log_index}\" or key: [block_num, log_index]", r.Structure))
	case n == nil:
		r.Key = "{table}"
	case kind(n) == "a list":
		var names []string
		_, columns := s.texts("key", &names)
		r.Key = "{table}"
		for i, c := range names {
			if slices.Contains(names[:i], c) {
				s.complain(columns[i].at, "%s names column %q twice", f.key, columns[i].raw)
			}
			r.Key += ":{" + c + "}"
		}
	default:
		s.text("key", &r.Key)
	}
	if r.Structure.Keyed() && r.Key == "{table}" {
		s.complain(f.at, "%s is the same for all rows, and structure: %s keeps one row for each key; add columns to it, such as \"{table}:{block_num}:{log_index}\"", f.key, r.Structure)
	}
}
