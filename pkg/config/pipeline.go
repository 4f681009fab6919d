// Package config reads pipeline.yaml: one YAML document per pipeline.
package config

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Pipeline is one source query and its destinations. [Load] fills in every
// default and refuses what cannot work, so the rest of the program never asks
// whether a value is set.
//
// The tags of the fields are the table of keys: the key (yaml), what it is without one
// (default), the least and the most of a number, size or duration (range), the words that
// are allowed (oneof), those of the key "*" (star) and the one that sets a bool (on), what to
// give for a key without which nothing works (required), the key that names a file with the
// value (file), and the form of a value that its type does not show (form). A group of
// the form "short" may be given as a single value, which is that of its first key.
type Pipeline struct {
	Name    string  `yaml:"pipeline" required:"give it a name of letters, digits, \"-\" and \"_\""` // at most 64
	Source  Source  `yaml:"source"`
	Range   Range   `yaml:"range"`
	Live    Live    `yaml:"live"`
	NATS    NATS    `yaml:"nats"`
	Extract Extract `yaml:"extract"`
	Log     Log     `yaml:"log"`

	// LogLevel is the level of the process's log; the pipelines of a file share it.
	LogLevel string `yaml:"log_level" default:"info" oneof:"trace,debug,info,warn,error"`
	Page     Page   `yaml:"page" form:"short"`
	Traces   Traces `yaml:"traces" form:"short"`
	Sinks    []Sink `yaml:"sinks"`
}

// Source is the Amp server and the query.
type Source struct {
	Amp string `yaml:"amp" required:"give the server's address, such as grpc://localhost:1602"`
	// Bearer token, the file's or AMP_AUTH_TOKEN; empty: the CLI's token file if TokenFile is set.
	Token       Secret `yaml:"token" file:"bearer_file"`
	TokenFile   string `yaml:"token_file" form:"path"`      // the Amp CLI's token file; empty: not used
	TLS         TLS    `yaml:"tls"`                         // of grpcs:// and https://
	Query       string `yaml:"query"`                       // as the user wrote it, or all of Table
	Table       string `yaml:"table"`                       // all of it is the query, if there is no other; with its quotes, as in a query
	BlockColumn string `yaml:"block_column" default:"auto"` // "" (auto): _block_num if the output has it, else block_num

	// KeepAlive is after how much silence the server is asked whether it is alive;
	// 0: the default of package amp.
	KeepAlive time.Duration `yaml:"keep_alive" range:"10s,1h"`
	// MaxMessage is the largest message that is accepted, in bytes; 0: the default of
	// package amp.
	MaxMessage int64 `yaml:"max_message" form:"size" range:"32MiB,1GiB"`
	// AnswerTimeout, FirstRowsTimeout and NextRowsTimeout are how long a call may take
	// to be answered, to bring its first rows, and to bring more; 0: the defaults of
	// package amp.
	AnswerTimeout    time.Duration `yaml:"answer_timeout" range:"1s,1d"`
	FirstRowsTimeout time.Duration `yaml:"first_rows_timeout" range:"1s,1d"`
	NextRowsTimeout  time.Duration `yaml:"next_rows_timeout" range:"1s,1d"`
}

// Range is what part of the chain is wanted.
type Range struct {
	MinBlock      block.Number      `yaml:"min_block" default:"0" range:"0,9223372036854775806"`
	MaxBlock      *block.Number     `yaml:"max_block" range:"0,9223372036854775806"` // exclusive; nil: follow the chain for ever
	ReorgBuffer   uint64            `yaml:"reorg_buffer" default:"200" range:"0,2147483647"`
	ReorgBuffers  map[string]uint64 `yaml:"reorg_buffers" range:"0,2147483647"`                          // by network, over ReorgBuffer
	PartitionSize uint64            `yaml:"partition_size" default:"auto" range:"1,9223372036854775806"` // 0: chosen by the planner
}

// LiveStart is when the live chain is followed.
type LiveStart string

const (
	WithBackfill  LiveStart = "with-backfill"  // at once, beside the history (default)
	AfterBackfill LiveStart = "after-backfill" // when the history is complete
)

// Live is how the live chain is followed.
type Live struct {
	Start LiveStart `yaml:"start" default:"with-backfill" oneof:"with-backfill,after-backfill"`
}

// NATS is where the queue lives: exactly one of Embedded and URL is set.
type NATS struct {
	Embedded string `yaml:"embedded" form:"path"` // folder of the embedded server
	URL      string `yaml:"url"`
	User     string `yaml:"user"` // with Password; or NKey or Creds, or the URL holds them, or there is none
	Password Secret `yaml:"password" file:"password_file"`
	NKey     string `yaml:"nkey" form:"path"`  // file with the seed of an nkey
	Creds    string `yaml:"creds" form:"path"` // credentials file
	TLS      TLS    `yaml:"tls"`
	Replicas int    `yaml:"replicas" default:"1" range:"1,5"` // of streams in a cluster
}

// TLS names the files of a TLS connection; all may be empty.
type TLS struct {
	CA   string `yaml:"ca" form:"path"`
	Cert string `yaml:"cert" form:"path"`
	Key  string `yaml:"key" form:"path"`
}

// Extract is the reading side.
type Extract struct {
	Workers int `yaml:"workers" default:"4" range:"1,1024"`
	// Of trying without any gain, before a partition is recorded as failed.
	GiveUpAfter time.Duration `yaml:"give_up_after" default:"30m" range:"1s,365d"`
	// Tries without any gain before that; 0: as many as there is time for.
	Attempts int `yaml:"attempts" range:"1,1000"`
}

// Log is the pipeline's log of entries.
type Log struct {
	MaxBytes    int64         `yaml:"max_bytes" form:"size" default:"20GiB" range:"64MiB,"`
	Replay      time.Duration `yaml:"replay" default:"72h"` // entries younger than this are kept after all sinks have them
	Compression string        `yaml:"compression" default:"s2" oneof:"s2,zstd,none"`
	// Arrow bytes of one entry before compression.
	EntryBytes int `yaml:"entry_bytes" form:"size" default:"2MiB" range:"64KiB,32MiB"`

	// MaxBlockBytes bounds a block that is larger than a message. It is published in one
	// step, which NATS holds on its disk until it is complete.
	MaxBlockBytes int64 `yaml:"max_block_bytes" form:"size" default:"64MiB" range:"64MiB,4GiB"`

	// DeadLetterBytes bounds the dead letters of each sink that puts refused rows aside.
	DeadLetterBytes int64 `yaml:"dead_letter_bytes" form:"size" default:"64MiB" range:"1MiB,"`
}

// Page is the web page of the process that plans.
type Page struct {
	Listen string `yaml:"listen" default:"127.0.0.1:8088"` // empty: there is none
	Token  Secret `yaml:"token" file:"token_file"`         // signs in to its buttons; empty: it has none
}

// Traces is where the traces of entries are sent, as OpenTelemetry defines it.
type Traces struct {
	// URL of a collector that speaks OTLP over HTTP, the file's or that of OTEL_EXPORTER_OTLP_ENDPOINT or
	// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; empty: none are made.
	Endpoint string  `yaml:"endpoint"`
	Sample   float64 `yaml:"sample" default:"0.01" range:"0,1"` // of the entries, those that the extractor begins a trace for
}

// Sink is one destination. Exactly one of the pointers is set.
type Sink struct {
	Name     string    `yaml:"name" required:"give it a name of letters, digits, \"-\" and \"_\""`
	Postgres *Postgres `yaml:"postgres"`
	Delta    *Delta    `yaml:"delta"`
	Redis    *Redis    `yaml:"redis"`
	Custom   *Custom   `yaml:"custom"`
}

// OnBadRow is what becomes of a row that the destination refuses.
type OnBadRow string

const (
	StopAtBadRow OnBadRow = "stop"        // the sink stops (default)
	DeadLetter   OnBadRow = "dead_letter" // it is put aside, and the others are written
)

// Mode is how rows are written.
type Mode string

const (
	Append Mode = "append" // rows as they come (default)
	Upsert Mode = "upsert" // by key; the row of the higher block wins
)

// Postgres is a table in PostgreSQL.
type Postgres struct {
	DSN    Secret            `yaml:"dsn" file:"dsn_file" required:"give the connection string, such as ${DATABASE_URL}, or dsn_file"`
	Schema string            `yaml:"schema" default:"public"`
	Table  string            `yaml:"table" required:"give the name of the table to write"`
	Mode   Mode              `yaml:"mode" default:"append" oneof:"append,upsert"`
	Key    []string          `yaml:"key" form:"set"`                                         // required by upsert
	Types  map[string]string `yaml:"types" oneof:"bigint,numeric,hex" star:"bigint,numeric"` // by column; "*" for all UInt64 columns
	// Add missing columns to an existing table.
	SchemaEvolution bool `yaml:"schema_evolution" default:"false"`
	// Empty the table when the pipeline is first planned.
	Overwrite bool `yaml:"overwrite" default:"false"`
	Writers   int  `yaml:"writers" default:"2" range:"1,64"` // concurrent transactions per process
	Beside    int  // connections of the other sinks of the file with this dsn; no key sets it
	// Blocks below the head that a reorg may still undo in an upsert.
	Finality    uint64          `yaml:"finality" default:"10000" range:"1,9223372036854775806"`
	OnBadRow    OnBadRow        `yaml:"on_bad_row" default:"stop" oneof:"stop,dead_letter"`
	PartitionBy BlockPartitions `yaml:"partition_by"`
	Indexes     [][]string      `yaml:"indexes"` // the columns of each
	// When they are built.
	BuildIndexes BuildIndexes `yaml:"build_indexes" default:"after_history" oneof:"after_history,at_start"`
}

// BlockPartitions divides a table of PostgreSQL by ranges of blocks.
type BlockPartitions struct {
	Column string `yaml:"column"`                            // the block column; empty: the same
	Blocks uint64 `yaml:"blocks" range:"1000,1000000000000"` // of each partition; 0: the table is a plain one
}

// BuildIndexes is when a sink builds the indexes of its table.
type BuildIndexes string

const (
	AfterHistory BuildIndexes = "after_history" // when the destination holds the history (default)
	AtStart      BuildIndexes = "at_start"      // before anything is loaded
)

// besideWriters is how many connections a sink uses beside those of its writers: for the
// live lane, for reading the state, and for finding out who holds a lock that the others
// wait for.
const besideWriters = 3

// buildIndexes is how many it uses while it builds indexes: one builds, and one asks how far
// that is.
const buildIndexes = 2

// MostWriters is how many writers a sink may have: they may become more while it runs.
const MostWriters = 64

// Connections returns how many connections the sink uses at most.
func (p Postgres) Connections() int {
	all := max(1, p.Writers) + besideWriters
	if len(p.Indexes) > 0 {
		all += buildIndexes
	}
	return all
}
