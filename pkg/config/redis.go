package config

import (
	"fmt"
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

// Keyed reports whether every row has a key of its own.
func (s Structure) Keyed() bool { return s == Hash || s == String || s == JSON }

// Redis is a set of keys in Redis or Valkey.
type Redis struct {
	// Other nodes as ?addr=host:port.
	URL Secret `yaml:"url" file:"url_file" required:"give the server, such as ${REDIS_URL} or redis://localhost:6379/0, or url_file"`
	// Name of the master; URL then names the sentinels.
	Sentinel string `yaml:"sentinel"`
	// URL names nodes of a Redis Cluster.
	Cluster bool `yaml:"cluster" default:"false"`
	// What {table} stands for.
	Table     string    `yaml:"table"`
	Structure Structure `yaml:"structure" default:"hash" oneof:"hash,string,json,stream,set,sorted_set,list"`
	// Such as "{table}:{block_num}:{log_index}"; "{{" and "}}" are braces.
	Key     string   `yaml:"key" form:"pattern"`
	Columns []string `yaml:"columns" form:"set"` // to write; empty: all
	Score   string   `yaml:"score"`              // sorted_set: a numeric column; empty: the block column
	// Null columns are written as empty texts instead of left out.
	NullEmpty bool          `yaml:"null" default:"omit" oneof:"omit,empty" on:"empty"`
	TTL       time.Duration `yaml:"ttl"`                              // 0: keys stay
	Finality  uint64        `yaml:"finality" range:"1,1099511627776"` // blocks below the highest whose index is kept; 0: all
	Writers   int           `yaml:"writers" default:"1" range:"1,64"` // concurrent calls per process
	OnBadRow  OnBadRow      `yaml:"on_bad_row" default:"stop" oneof:"stop,dead_letter"`
}

// String names the keys without the URL, which may hold a password.
func (r Redis) String() string { return fmt.Sprintf("%s %s", r.Structure, r.Key) }

func (r *Redis) check(s view) {
	address, sentinel, cluster := s.field("url"), s.field("sentinel"), s.field("cluster")
	if r.Cluster && sentinel.set {
		s.complain(cluster.at, "%s and %s are both given; keep one", cluster.key, sentinel.key)
	}
	if address.set {
		u := redisURL{sentinel: sentinel.set, cluster: r.Cluster}
		text := u.read(string(r.URL))
		s.complainAll(address, u.complaints)
		if len(u.complaints) == 0 {
			r.URL = Secret(text)
		}
	}
	key := s.field("key")
	switch {
	case key.set && r.Structure.Keyed() && r.Key == "{table}":
		s.complain(key.at, "%s is the same for all rows, and structure: %s keeps one row for each key; "+
			"add columns to it, such as \"{table}:{block_num}:{log_index}\"", key.key, r.Structure)
	case key.set || key.bad:
	case r.Structure.Keyed():
		s.missing("key", fmt.Sprintf("structure: %s needs a key for every row, "+
			"such as \"{table}:{block_num}:{log_index}\" or key: [block_num, log_index]", r.Structure))
	default:
		r.Key = "{table}"
	}
	if strings.Contains(strings.ReplaceAll(r.Key, "{{", ""), "{table}") {
		s.missing("table", "give the name that {table} stands for in the key")
	}
	if score := s.field("score"); score.set && r.Structure != SortedSet {
		s.complain(score.at, "%s is used by structure: sorted_set only; remove it or set that structure", score.key)
	}
	if ttl := s.field("ttl"); ttl.set && r.TTL != 0 && r.TTL < time.Second {
		s.complain(ttl.at, "%s must be at least 1s, not %q; remove it to keep keys for ever", ttl.key, ttl.raw)
	}
}
