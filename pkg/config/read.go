package config

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/ampipe/ampipe/pkg/block"
)

// DefaultEmbedded is the folder of the embedded NATS, beside the file.
const DefaultEmbedded = "ampipe-data"

const (
	minLogBytes   = 64 << 20
	minEntryBytes = 64 << 10
	minMessage    = 32 << 20
	maxMessage    = 1 << 30
	maxEntryBytes = 32 << 20
	// A block that is larger than a message is published in one step, which NATS holds on
	// its disk until it is complete.
	minBlockBytes = 64 << 20
	maxBlockBytes = 4 << 30
	// A log must hold some entries of every lane that is being written.
	entriesPerLog = 16
	// PostgreSQL cuts longer names without an error.
	maxIdentifier = 63
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// defaults is a pipeline before the file has said anything.
func defaults() *Pipeline {
	return &Pipeline{
		Range:   Range{ReorgBuffer: 200},
		Live:    Live{Start: WithBackfill},
		NATS:    NATS{Replicas: 1},
		Extract: Extract{Workers: 4, GiveUpAfter: 30 * time.Minute},
		Log:     Log{MaxBytes: 20 << 30, Replay: 72 * time.Hour, Compression: "s2", EntryBytes: 2 << 20, MaxBlockBytes: minBlockBytes},
	}
}

func (d *document) read(body ast.Node) {
	p := defaults()
	d.pipeline = p
	top := d.section("", start(body), body)
	d.name = top.naming("pipeline", &p.Name)
	readSource(top.group("source"), &p.Source)
	readRange(top.group("range"), &p.Range)
	choice(top.group("live"), "start", &p.Live.Start, WithBackfill, AfterBackfill)
	d.nats = top.group("nats")
	readNATS(d.nats, &p.NATS)
	extract := top.group("extract")
	number(extract, "workers", &p.Extract.Workers, 1, 1024)
	extract.limit("give_up_after", &p.Extract.GiveUpAfter, time.Second, 365*24*time.Hour)
	number(extract, "attempts", &p.Extract.Attempts, 1, 1000)
	readLog(top.group("log"), &p.Log)
	d.readSinks(top)
}

// naming reads the name of a pipeline or of a sink: it becomes part of subjects
// and of file names.
func (s *section) naming(key string, into *string) field {
	f := s.text(key, into)
	switch {
	case !f.set:
		s.missing(key, "give it a name of letters, digits, \"-\" and \"_\"")
	case !nameForm.MatchString(*into):
		s.complain(f.at, "%s must be 1 to 64 letters, digits, \"-\" and \"_\", not %q", f.key, f.raw)
	}
	return f
}

// missing complains about a key without which nothing works, unless its value
// has been complained about already.
func (s *section) missing(key, hint string) {
	f, _ := s.ask(key)
	if slices.ContainsFunc(s.complaints, func(c Complaint) bool { return f.at == place{c.Line, c.Column} && f.at != s.at }) {
		return
	}
	s.complain(f.at, "%s is missing; %s", f.key, hint)
}

func readSource(s *section, into *Source) {
	amp := s.text("amp", &into.Amp)
	switch {
	case !amp.set:
		s.missing("amp", "give the server's address, such as grpc://localhost:1602")
	default:
		checkAmp(s, amp, into.Amp)
	}
	if !s.bearer(into).set {
		into.Token = Secret(s.getenv("AMP_AUTH_TOKEN"))
	}
	s.file("token_file", &into.TokenFile)
	tls := s.group("tls")
	ca, cert, key := tls.file("ca", &into.TLS.CA), tls.file("cert", &into.TLS.Cert), tls.file("key", &into.TLS.Key)
	switch secure := strings.HasPrefix(into.Amp, "grpcs://") || strings.HasPrefix(into.Amp, "https://"); {
	case cert.set != key.set:
		s.complain(tls.at, "source.tls needs cert and key together")
	case (ca.set || cert.set) && !secure:
		s.complain(tls.at, "source.tls is for grpcs:// and https://; source.amp is plain")
	}
	if !s.text("query", &into.Query).set {
		s.missing("query", "give the SELECT whose rows are wanted")
	}
	s.text("table", &into.Table)
	if s.text("block_column", &into.BlockColumn); into.BlockColumn == "auto" {
		into.BlockColumn = ""
	}
	s.limit("keep_alive", &into.KeepAlive, 10*time.Second, time.Hour)
	s.size("max_message", &into.MaxMessage, minMessage, maxMessage)
	s.limit("answer_timeout", &into.AnswerTimeout, time.Second, 24*time.Hour)
	s.limit("first_rows_timeout", &into.FirstRowsTimeout, time.Second, 24*time.Hour)
	s.limit("next_rows_timeout", &into.NextRowsTimeout, time.Second, 24*time.Hour)
}

// limit reads a duration from least to most.
func (s *section) limit(key string, into *time.Duration, least, most time.Duration) {
	if f := s.duration(key, into); f.set && (*into < least || *into > most) {
		s.complain(f.at, "%s must be from %s to %s, not %q", f.key, span(least), span(most), f.raw)
	}
}

// span writes a whole duration as the file would: 10s, 1h, 365d.
func span(d time.Duration) string {
	switch day := 24 * time.Hour; {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

func checkAmp(s *section, f field, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		s.complain(f.at, "%s is not a URL; write it as grpc://host:port", f.key)
	case !slices.Contains([]string{"grpc", "grpcs", "http", "https"}, u.Scheme):
		s.complain(f.at, "%s must begin with grpc:// or http:// (plain), grpcs:// or https:// (TLS)", f.key)
	case u.Hostname() == "":
		s.complain(f.at, "%s names no host; write it as %s://host:port", f.key, u.Scheme)
	case u.User != nil:
		s.complain(f.at, "%s must hold no user or password; put the token into source.token", f.key)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		s.complain(f.at, "%s must end after the port", f.key)
	}
}

func readRange(s *section, into *Range) {
	low := number(s, "min_block", &into.MinBlock, 0, block.Max)
	var limit block.Number
	if high := number(s, "max_block", &limit, 0, block.Max); high.set {
		into.MaxBlock = &limit
		if into.MinBlock >= limit {
			from := "0 by default"
			if low.set {
				from = low.raw
			}
			s.complain(high.at, "range.max_block (%s) must be above range.min_block (%s); it is the first block that is not wanted", high.raw, from)
		}
	}
	number(s, "reorg_buffer", &into.ReorgBuffer, 0, math.MaxInt32)
	if networks := s.group("reorg_buffers"); networks.set {
		into.ReorgBuffers = map[string]uint64{}
		for _, network := range networks.order {
			var blocks uint64
			if number(networks, network, &blocks, 0, math.MaxInt32).set {
				into.ReorgBuffers[network] = blocks
			}
		}
	}
	if text, f := s.scalar("partition_size"); f.set && text != "auto" {
		number(s, "partition_size", &into.PartitionSize, 1, uint64(block.Max))
	}
}

func readNATS(s *section, into *NATS) {
	embedded := s.file("embedded", &into.Embedded)
	address := s.text("url", &into.URL)
	user, password := s.text("user", &into.User), s.secret("password", &into.Password)
	nkey, creds := s.file("nkey", &into.NKey), s.file("creds", &into.Creds)
	tls := s.group("tls")
	files := []field{tls.file("ca", &into.TLS.CA), tls.file("cert", &into.TLS.Cert), tls.file("key", &into.TLS.Key)}
	replicas := number(s, "replicas", &into.Replicas, 1, 5)
	switch {
	case embedded.set && address.set:
		s.complain(address.at, "nats.embedded and nats.url are both given; keep one")
	case address.set:
		for server := range strings.SplitSeq(into.URL, ",") {
			u, err := url.Parse(strings.TrimSpace(server))
			if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				s.complain(address.at, "nats.url must be nats://host:4222, or several of them with commas between (tls://, ws:// and wss:// do as well)")
				break
			}
		}
		if files[1].set != files[2].set {
			s.complain(tls.at, "nats.tls needs cert and key together")
		}
		if user.set != password.set {
			s.complain(s.at, "nats.user and nats.password (or nats.password_file) go together")
		}
		ways := slices.DeleteFunc([]field{user, nkey, creds}, func(f field) bool { return !f.set })
		if len(ways) > 1 {
			s.complain(ways[1].at, "%s and %s are both given; keep one", ways[0].key, ways[1].key)
		}
		if len(ways) > 0 && strings.Contains(into.URL, "@") {
			s.complain(ways[0].at, "%s is given, and nats.url holds a user as well; keep one", ways[0].key)
		}
	default:
		if s.set && !embedded.set {
			into.Embedded = s.locate(DefaultEmbedded)
		}
		for _, f := range append(files, user, password, nkey, creds) {
			if f.set {
				s.complain(f.at, "%s is for nats.url; the embedded server is reached inside the process", f.key)
			}
		}
		if replicas.set && into.Replicas > 1 {
			s.complain(replicas.at, "nats.replicas above 1 needs a cluster; give nats.url")
		}
	}
}

func readLog(s *section, into *Log) {
	entry := int64(into.EntryBytes)
	s.size("entry_bytes", &entry, minEntryBytes, maxEntryBytes)
	into.EntryBytes = int(entry)
	total := s.size("max_bytes", &into.MaxBytes, minLogBytes, math.MaxInt64)
	if total.set && into.MaxBytes < entriesPerLog*entry {
		s.complain(total.at, "log.max_bytes must be at least %d times log.entry_bytes (%s), not %q", entriesPerLog, showSize(entry), total.raw)
	}
	block := s.size("max_block_bytes", &into.MaxBlockBytes, minBlockBytes, maxBlockBytes)
	if block.set && into.MaxBlockBytes > into.MaxBytes/2 {
		s.complain(block.at, "log.max_block_bytes must be at most half of log.max_bytes (%s), not %q", showSize(into.MaxBytes), block.raw)
	}
	s.duration("replay", &into.Replay)
	choice(s, "compression", &into.Compression, "s2", "zstd", "none")
}

func (d *document) readSinks(top *section) {
	f, sinks := top.groups("sinks")
	if !f.set || sinks != nil && len(sinks) == 0 {
		top.complain(f.at, "sinks is empty; give at least one destination, such as - { name: warehouse, postgres: { dsn: \"${DATABASE_URL}\", table: logs } }")
	}
	names := map[string]int{}
	for _, s := range sinks {
		var sink Sink
		name := s.naming("name", &sink.Name)
		if key := strings.ToLower(sink.Name); name.set {
			if first, twice := names[key]; twice {
				s.complain(name.at, "sink %q has the name of the one in line %d; give it another", name.raw, first)
			} else {
				names[key] = name.at.line
			}
		}
		postgres := s.group("postgres")
		kinds := 0
		if postgres.set {
			kinds++
			sink.Postgres = readPostgres(postgres)
		}
		if delta := s.group("delta"); delta.set {
			kinds++
			sink.Delta = readDelta(delta)
		}
		if redis := s.group("redis"); redis.set {
			kinds++
			sink.Redis = readRedis(redis)
		}
		if kinds != 1 {
			s.complain(s.at, "%s must have exactly one destination: postgres, delta or redis", s.path)
		}
		d.pipeline.Sinks = append(d.pipeline.Sinks, sink)
		d.sinks = append(d.sinks, name)
	}
}

// finality is more than any chain is known to have taken back.
const finality = 10_000 // blocks

func readPostgres(s *section) *Postgres {
	p := &Postgres{Schema: "public", Mode: Append, Writers: 2, Finality: finality, OnBadRow: "stop"}
	switch dsn := s.secret("dsn", &p.DSN); {
	case !dsn.set:
		s.missing("dsn", "give the connection string, such as ${DATABASE_URL}, or dsn_file")
	case p.DSN != "":
		read, err := readDSN(string(p.DSN))
		if err != nil {
			s.complain(dsn.at, "%s %v", dsn.key, err)
		}
		p.DSN = Secret(read)
	}
	s.identifier("schema", &p.Schema)
	if !s.identifier("table", &p.Table).set {
		s.missing("table", "give the name of the table to write")
	}
	mode := choice(s, "mode", &p.Mode, Append, Upsert)
	key, columns := s.texts("key", &p.Key)
	switch {
	case p.Mode == Upsert && len(p.Key) == 0 && (!key.set || columns != nil):
		s.complain(mode.at, "%s needs a key; give the columns that name a row, such as key: [block_num, log_index]", s.name("mode: upsert"))
	case p.Mode == Append && len(p.Key) > 0 && (!mode.set || mode.raw == string(Append)):
		s.complain(key.at, "%s is used by mode: upsert only; set that mode or remove the key", key.key)
	}
	for i, c := range p.Key {
		if slices.Contains(p.Key[:i], c) {
			s.complain(columns[i].at, "%s names column %q twice", key.key, columns[i].raw)
		}
	}
	if types := s.group("types"); types.set {
		p.Types = map[string]string{}
		for _, column := range types.order {
			words := []string{"bigint", "numeric", "hex"}
			if column == "*" {
				words = words[:2] // it stands for all UInt64 columns
			}
			var t string
			if choice(types, column, &t, words...); t != "" {
				p.Types[column] = t
			}
		}
	}
	s.flag("schema_evolution", &p.SchemaEvolution)
	s.flag("overwrite", &p.Overwrite)
	number(s, "writers", &p.Writers, 1, 64)
	number(s, "finality", &p.Finality, 1, uint64(block.Max))
	if text, f := s.scalar("on_bad_row"); f.set && text == "dead_letter" {
		s.complain(f.at, "%s: dead_letter is not available in this version; use stop", f.key)
	} else {
		choice(s, "on_bad_row", &p.OnBadRow, "stop")
	}
	return p
}

// identifier reads a name of PostgreSQL.
func (s *section) identifier(key string, into *string) field {
	f := s.text(key, into)
	if f.set && (len(*into) > maxIdentifier || strings.ContainsRune(*into, 0)) {
		s.complain(f.at, "%s must be at most %d bytes long, which is all that PostgreSQL keeps of a name", f.key, maxIdentifier)
	}
	return f
}
