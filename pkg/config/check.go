package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// DefaultEmbedded is the folder of the embedded NATS, beside the file.
const DefaultEmbedded = "ampipe-data"

const (
	// A log must hold some entries of every lane that is being written.
	entriesPerLog = 16
	// PostgreSQL cuts longer names without an error.
	maxIdentifier = 63
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// view is the group at a path, for the checks that concern several keys or that no tag
// can state.
type view struct {
	*document
	path string
}

// field returns what is known of a key; the empty key is the group itself.
func (s view) field(key string) field {
	if key == "" {
		return s.fields[s.path]
	}
	return s.fields[join(s.path, key)]
}

func (s view) under(key string) view { return view{s.document, join(s.path, key)} }

// missing complains about a key without which nothing works, unless its value
// has been complained about already.
func (s view) missing(key, hint string) {
	f := s.field(key)
	if !f.set && !f.bad {
		s.complain(f.at, "%s is missing; %s", join(s.path, key), hint)
	}
}

// complainAll complains about a field once for each different text.
func (s view) complainAll(f field, texts []string) {
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		s.complain(f.at, "%s %s", f.key, text)
	}
}

// name checks the name of a pipeline or of a sink: it becomes part of subjects and of
// file names.
func (s view) name(key, value string) {
	f := s.field(key)
	if f.set && !nameForm.MatchString(value) {
		s.complain(f.at, "%s must be 1 to 64 letters, digits, \"-\" and \"_\", not %q", f.key, f.raw)
	}
}

// check checks what concerns several keys.
func (d *document) check() {
	p, top := d.pipeline, view{d, ""}
	top.name("pipeline", p.Name)
	p.Source.check(top.under("source"))
	p.Range.check(top.under("range"))
	p.NATS.check(top.under("nats"))
	p.Log.check(top.under("log"))
	p.Page.check(top.under("page"))
	p.Traces.check(top.under("traces"))
	if sinks := top.field("sinks"); len(p.Sinks) == 0 && !sinks.bad {
		d.complain(sinks.at, "sinks is empty; give at least one destination, "+
			"such as - { name: warehouse, postgres: { dsn: \"${DATABASE_URL}\", table: logs } }")
	}
	lines := map[string]int{}
	for i := range p.Sinks {
		sink, s := &p.Sinks[i], top.under(fmt.Sprintf("sinks[%d]", i))
		s.name("name", sink.Name)
		name, key := s.field("name"), strings.ToLower(sink.Name)
		switch first, taken := lines[key]; {
		case taken && name.set:
			s.complain(name.at, "sink %q has the name of the one in line %d; give it another", name.raw, first)
		case name.set:
			lines[key] = name.at.line
		}
		kinds := 0
		if sink.Postgres != nil {
			kinds++
			sink.Postgres.check(s.under("postgres"))
		}
		if sink.Delta != nil {
			kinds++
			sink.Delta.check(s.under("delta"))
		}
		if sink.Redis != nil {
			kinds++
			sink.Redis.check(s.under("redis"))
		}
		if sink.Custom != nil {
			kinds++
			sink.Custom.check(s.under("custom"))
		}
		if kinds != 1 {
			s.complain(s.field("").at, "%s must have exactly one destination: postgres, delta, redis or custom", s.path)
		}
	}
}

func (p *Source) check(s view) {
	if s.field("amp").set {
		checkAmp(s, s.field("amp"), p.Amp)
	}
	if !s.field("token").set {
		p.Token = Secret(s.getenv("AMP_AUTH_TOKEN"))
	}
	tls, cert, key := s.field("tls"), s.field("tls.cert"), s.field("tls.key")
	switch secure := strings.HasPrefix(p.Amp, "grpcs://") || strings.HasPrefix(p.Amp, "https://"); {
	case cert.set != key.set:
		s.complain(tls.at, "source.tls needs cert and key together")
	case (s.field("tls.ca").set || cert.set) && !secure:
		s.complain(tls.at, "source.tls is for grpcs:// and https://; source.amp is plain")
	}
	p.checkQuery(s)
}

// checkQuery makes the query for all of a table, if the file names one instead of a query.
// Beside a query, a table must be one of those that it reads.
func (p *Source) checkQuery(s view) {
	query, table := s.field("query"), s.field("table")
	switch {
	case table.bad:
		return
	case !table.set:
		s.missing("query", "give the SELECT whose rows are wanted, or the table if they are all of its rows")
		return
	}
	whole, err := sqlcheck.ParseTable(p.Table)
	if err != nil {
		s.complain(table.at, "%s: %q is not a table; write dataset.table, "+
			"with a dataset that has \"/\", \"@\" or \".\" in double quotes", table.key, table.raw)
		return
	}
	if !query.set {
		p.Query = "SELECT * FROM " + strings.TrimSpace(p.Table) // with the quotes that the file has
		return
	}
	read, err := sqlcheck.Parse(p.Query)
	if err != nil {
		return // the planner says what is wrong with the query
	}
	if !slices.ContainsFunc(read.Tables(), func(t sqlcheck.Table) bool { return t.String() == whole.String() }) {
		s.complain(table.at, "source.table (%s) is not read by source.query; keep one of the two", table.raw)
	}
}

func checkAmp(s view, f field, text string) {
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

func (r *Range) check(s view) {
	low, high := s.field("min_block"), s.field("max_block")
	if high.set && r.MinBlock >= *r.MaxBlock {
		from := "0 by default"
		if low.set {
			from = low.raw
		}
		s.complain(high.at, "range.max_block (%s) must be above range.min_block (%s); it is the first block that is not wanted", high.raw, from)
	}
}

func (n *NATS) check(s view) {
	group, embedded, address, replicas := s.field(""), s.field("embedded"), s.field("url"), s.field("replicas")
	user, password, nkey, creds := s.field("user"), s.field("password"), s.field("nkey"), s.field("creds")
	tls, ca, cert, key := s.field("tls"), s.field("tls.ca"), s.field("tls.cert"), s.field("tls.key")
	switch {
	case embedded.set && address.set:
		s.complain(address.at, "nats.embedded and nats.url are both given; keep one")
	case address.set:
		for server := range strings.SplitSeq(n.URL, ",") {
			u, err := url.Parse(strings.TrimSpace(server))
			if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				s.complain(address.at, "nats.url must be nats://host:4222, or several of them "+
					"with commas between (tls://, ws:// and wss:// do as well)")
				break
			}
		}
		if cert.set != key.set {
			s.complain(tls.at, "nats.tls needs cert and key together")
		}
		if user.set != password.set {
			s.complain(group.at, "nats.user and nats.password (or nats.password_file) go together")
		}
		ways := slices.DeleteFunc([]field{user, nkey, creds}, func(f field) bool { return !f.set })
		if len(ways) > 1 {
			s.complain(ways[1].at, "%s and %s are both given; keep one", ways[0].key, ways[1].key)
		}
		if len(ways) > 0 && strings.Contains(n.URL, "@") {
			s.complain(ways[0].at, "%s is given, and nats.url holds a user as well; keep one", ways[0].key)
		}
	default:
		if group.set && !embedded.set {
			n.Embedded = s.locate(DefaultEmbedded)
		}
		for _, f := range []field{ca, cert, key, user, password, nkey, creds} {
			if f.set {
				s.complain(f.at, "%s is for nats.url; the embedded server is reached inside the process", f.key)
			}
		}
		if replicas.set && n.Replicas > 1 {
			s.complain(replicas.at, "nats.replicas above 1 needs a cluster; give nats.url")
		}
	}
}

func (l *Log) check(s view) {
	total, block := s.field("max_bytes"), s.field("max_block_bytes")
	if total.set && l.MaxBytes < entriesPerLog*int64(l.EntryBytes) {
		s.complain(total.at, "log.max_bytes must be at least %d times log.entry_bytes (%s), not %q",
			entriesPerLog, showSize(int64(l.EntryBytes)), total.raw)
	}
	if block.set && l.MaxBlockBytes > l.MaxBytes/2 {
		s.complain(block.at, "log.max_block_bytes must be at most half of log.max_bytes (%s), not %q", showSize(l.MaxBytes), block.raw)
	}
}

// leastToken is the length of the shortest token that cannot be found by trying.
const leastToken = 16

// check understands "off", and refuses what is no address to listen on, and a token that can
// be guessed.
func (p *Page) check(s view) {
	if token := s.field("token"); token.set && len(p.Token) < leastToken {
		s.complain(token.at, "%s must have at least %d characters; openssl rand -hex 16 makes one", token.key, leastToken)
	}
	if p.Listen == "off" {
		p.Listen = ""
		return
	}
	_, port, err := net.SplitHostPort(p.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if f := s.field("listen"); err != nil {
		s.complain(f.at, "%s must be an address such as 127.0.0.1:8088, or off, not %q", f.key, f.raw)
	}
}

// check also takes the endpoint from the environment, unless the variables of OpenTelemetry say
// that there are no traces.
func (t *Traces) check(s view) {
	f := s.field("endpoint")
	switch {
	case t.Endpoint == "off":
		t.Endpoint = ""
	case f.set:
		u, err := url.Parse(t.Endpoint)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
			s.complain(f.at, "%s must be a URL such as http://localhost:4318, or off, not %q", f.key, f.raw)
		case u.User != nil:
			s.complain(f.at, "%s must hold no user or password; put what the collector asks for into OTEL_EXPORTER_OTLP_HEADERS", f.key)
		}
	case s.getenv("OTEL_SDK_DISABLED") == "true", s.getenv("OTEL_TRACES_EXPORTER") == "none":
	case s.getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "":
		t.Endpoint = s.getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	case s.getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "":
		t.Endpoint = strings.TrimRight(s.getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "/") + "/v1/traces"
	}
}

func (p *Postgres) check(s view) {
	dsn, mode, key := s.field("dsn"), s.field("mode"), s.field("key")
	if dsn.set {
		read, err := readDSN(string(p.DSN))
		if err != nil {
			s.complain(dsn.at, "%s %v", dsn.key, err)
		}
		p.DSN = Secret(read)
	}
	for which, name := range map[string]string{"schema": p.Schema, "table": p.Table} {
		if f := s.field(which); len(name) > maxIdentifier || strings.ContainsRune(name, 0) {
			s.complain(f.at, "%s must be at most %d bytes long, which is all that PostgreSQL keeps of a name", f.key, maxIdentifier)
		}
	}
	switch {
	case p.Mode == Upsert && len(p.Key) == 0 && !key.bad:
		s.complain(mode.at, "%s: upsert needs a key; give the columns that name a row, such as key: [block_num, log_index]", mode.key)
	case p.Mode == Append && len(p.Key) > 0 && !mode.bad:
		s.complain(key.at, "%s is used by mode: upsert only; set that mode or remove the key", key.key)
	}
	if blocks := s.field("partition_by.blocks"); s.field("partition_by").set && !blocks.set && !blocks.bad {
		s.missing("partition_by.blocks", "give how many blocks a partition has, such as 1_000_000")
	}
}
