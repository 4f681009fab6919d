// Package config reads pipeline.yaml: one YAML document per pipeline.
package config

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Pipeline is one source query and its destinations. [Load] fills in every
// default and refuses what cannot work, so the rest of the program never asks
// whether a value is set.
type Pipeline struct {
	Name    string // letters, digits, "-" and "_"; at most 64
	Source  Source
	Range   Range
	Live    Live
	NATS    NATS
	Extract Extract
	Log     Log
	Sinks   []Sink
}

// Source is the Amp server and the query.
type Source struct {
	Amp         string // grpc://, grpcs://, http:// or https:// URL
	Token       Secret // bearer token, the file's or AMP_AUTH_TOKEN; empty: the CLI's token file if TokenFile is set
	TokenFile   string // the Amp CLI's token file; empty: not used
	TLS         TLS    // of grpcs:// and https://
	Query       string // as the user wrote it
	Table       string // default: found in the query when it names one table
	BlockColumn string // "" (auto): _block_num if the output has it, else block_num

	// KeepAlive is after how much silence the server is asked whether it is alive;
	// 0: the default of package amp.
	KeepAlive time.Duration
	// MaxMessage is the largest message that is accepted, in bytes; 0: the default of
	// package amp.
	MaxMessage int64
	// AnswerTimeout, FirstRowsTimeout and NextRowsTimeout are how long a call may take
	// to be answered, to bring its first rows, and to bring more; 0: the defaults of
	// package amp.
	AnswerTimeout, FirstRowsTimeout, NextRowsTimeout time.Duration
}

// Range is what part of the chain is wanted.
type Range struct {
	MinBlock      block.Number
	MaxBlock      *block.Number     // exclusive; nil: follow the chain for ever
	ReorgBuffer   uint64            // default 200
	ReorgBuffers  map[string]uint64 // by network, over ReorgBuffer
	PartitionSize uint64            // 0: chosen by the planner
}

// LiveStart says when the live chain is followed.
type LiveStart string

const (
	WithBackfill  LiveStart = "with-backfill"  // at once, beside the history (default)
	AfterBackfill LiveStart = "after-backfill" // when the history is complete
)

// Live is how the live chain is followed.
type Live struct{ Start LiveStart }

// NATS is where the queue lives: exactly one of Embedded and URL is set.
type NATS struct {
	Embedded string // folder of the embedded server
	URL      string
	User     string // with Password; or NKey or Creds, or the URL holds them, or there is none
	Password Secret
	NKey     string // file with the seed of an nkey
	Creds    string // credentials file
	TLS      TLS
	Replicas int // of streams in a cluster; default 1
}

// TLS names the files of a TLS connection; all may be empty.
type TLS struct{ CA, Cert, Key string }

// Extract is the reading side.
type Extract struct {
	Workers     int           // default 4
	GiveUpAfter time.Duration // of trying without any gain, before a partition is recorded as failed; default 30 min
	Attempts    int           // tries without any gain before that; 0 (default): as many as there is time for
}

// Log is the pipeline's log of entries.
type Log struct {
	MaxBytes    int64         // default 20 GiB
	Replay      time.Duration // entries younger than this are kept after all sinks have them; default 72 h
	Compression string        // s2 (default), zstd, none
	EntryBytes  int           // Arrow bytes of one entry before compression; default 2 MiB

	MaxBlockBytes int64 // of a block that needs several messages; default 64 MiB
}

// Sink is one destination. Exactly one of the pointers is set.
type Sink struct {
	Name     string
	Postgres *Postgres
	Delta    *Delta
	Redis    *Redis
}

// Mode is how rows are written.
type Mode string

const (
	Append Mode = "append" // rows as they come (default)
	Upsert Mode = "upsert" // by key; the row of the higher block wins
)

// Postgres is a table in PostgreSQL.
type Postgres struct {
	DSN             Secret // connection string
	Schema          string // default "public"
	Table           string
	Mode            Mode
	Key             []string          // required by upsert
	Types           map[string]string // column -> "bigint" | "numeric" | "hex"; "*" for all UInt64 columns
	SchemaEvolution bool              // add missing columns to an existing table
	Overwrite       bool              // empty the table when the pipeline is first planned
	Writers         int               // concurrent transactions per process; default 2
	Finality        uint64            // blocks below the head that a reorg may still undo in an upsert; default 10,000
	OnBadRow        string            // "stop" (default); "dead_letter" is not offered yet
}
