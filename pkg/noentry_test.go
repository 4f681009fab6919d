package pkg_test

import (
	"regexp"
	"strings"
)

// The kinds of messages that need no entry in docs/troubleshooting.md.

// wraps is a text that says only what was done, or adds something: the message that has
// an entry is the one that it wraps.
var wraps = regexp.MustCompile(`^…?[§;]|^[^;]*: §( \(§\))?$`)

// statement is a text for a server, not for a person.
var statement = regexp.MustCompile(`^[… ;]*(CASE WHEN|[A-Z.]+ KEY|WITH \w+ AS|SELECT|INSERT INTO|UPDATE ampipe|DELETE FROM|CREATE|ALTER|SET LOCAL|t\.… BETWEEN)\b`)

// complaint reports whether the message is about a line of the configuration, or a part of
// such a message: it is said with the file, the line and the key, and says what to write
// there. docs/configuration.md describes every key.
func (m message) complaint() bool {
	return ofValues.MatchString(m.path) || strings.HasPrefix(m.path, "pkg/config/") &&
		(strings.HasSuffix(m.place, ".complain") || strings.HasSuffix(m.place, ".refuse") || strings.HasSuffix(m.place, ".missing"))
}

// ofValues are the files of pkg/config that say what is wrong with a value, and not where.
var ofValues = regexp.MustCompile(`^pkg/config/(expand|quantity|redis|redisurl|bucketurl)\.go$`)

// detail is a place of texts that never stand alone: the entry is the one of what they
// stand behind.
type detail struct {
	path string // where the texts are
	of   string // the heading of the entry
}

var details = []detail{
	{`pkg/arrowguard/.*`, "the server does not speak the protocol of Amp"},
	{`pkg/amp/(answer|error|metadata|query|schema|violation)\.go`, "the server does not speak the protocol of Amp"},
	{`pkg/amp/chain_tracker\.go`, "the chain has changed below every block that is remembered"},
	{`pkg/amp/tokenfile\.go`, "log in again with the Amp CLI"},
	{`pkg/entry/(decoder|reader|schema|wire|stream|rows)\.go`, "log entry … of blocks … is damaged: …"},
	{`pkg/block/block\.go`, "log entry … of blocks … is damaged: …"},
	{`pkg/sink/apply/decode\.go`, "log entry … of blocks … is damaged: …"},
	{`pkg/sqlcheck/.*`, "line …, column …: …"},
	{`pkg/config/(dsn|dsnkeys)\.go`, "has keys that cannot be used:"},
	{`pkg/sink/postgres/pgcopy/json\.go`, "the text is no JSON that PostgreSQL takes (…)"},
	{`pkg/sink/postgres/remedy\.go`, "column … is of the type …, and the query needs …"},
	{`pkg/sink/postgres/tls\.go`, "the certificate of the server is for another host"},
	{`pkg/sink/postgres/discrepancy\.go`, "and the server reported no error; nothing was changed."},
	{`pkg/sink/delta/target\.go`, "use another path or url, or cast in the query"},
	{`pkg/sink/delta/(readrows|deltalog/path)\.go`, "the destination cannot read it back: …"},
	{`pkg/(pipeline/doctor\w*|sink/\w+/examined?|queue/facts)\.go`, "everything is as it should be …"},
	{`pkg/queue/room\.go`, "… has room for … and pipeline … needs …"},
}

func (d detail) at(m message) bool { return regexp.MustCompile(`^` + d.path + `$`).MatchString(m.path) }

// neverShown are texts that nobody sees, with the reason.
var neverShown = map[string]string{
	"an epoch has begun":                                                     signal,
	"the partition was changed meanwhile":                                    signal,
	"everything is loaded":                                                   signal,
	"everything was tried":                                                   signal,
	"only a trial":                                                           signal,
	"the loop was left":                                                      signal,
	"the range is read by several queries":                                   signal,
	"the server has nothing new":                                             signal,
	"the log has no message now":                                             signal,
	"the queue has no task now":                                              signal,
	"what was staged has to be staged again":                                 signal,
	"rows have to be deleted or kept, which takes the table alone":           signal,
	"a trigger of the table may change rows that are copied into it":         signal,
	"the server has found something to look at before the commit":            signal,
	"the state has to be read first":                                         signal,
	"another writer has changed the state meanwhile":                         signal,
	"a key that is to be written is there":                                   signal,
	"an earlier live entry has not been applied":                             signal,
	"it was printed":                                                         signal,
	"the folder is in use":                                                   signal,
	"the stream does not exist":                                              signal,
	"the writer is not open":                                                 misuse,
	"a timeout must not be negative":                                         misuse,
	"a fork is asked for by a block of a network, with its hash":             misuse,
	"a probe needs a network and a block with one before it":                 misuse,
	"marshal …: not a message":                                               misuse,
	"unmarshal into …: not a frame":                                          misuse,
	"rows were pushed into a cutter after its end":                           misuse,
	"a cutter needs an encoder":                                              misuse,
	"move the end of … to …: entries reach up to …":                          misuse,
	"limit of a payload is … bytes, want more than 0":                        misuse,
	"codec is …, want none, s2 or zstd":                                      misuse,
	"the rows do not have the schema they were announced with":               misuse,
	"… …: want 1 to 64 letters, digits, \"-\" and \"_\"":                     misuse,
	"… …: want words joined by dots":                                         misuse,
	"publish: the group is empty":                                            misuse,
	"a letter has one row, not …":                                            misuse,
	"hash a value of type …: it is none of those that sink.HashValues takes": misuse,
	"read block numbers: a record of … columns has none at index …":          misuse,
	"convert … values of … bytes: an entry of the log is not that large":     misuse,
}

const (
	signal = "it is compared with, and never printed"
	misuse = "only wrong code gets it: the configuration was checked, and the caller is ours"
)
