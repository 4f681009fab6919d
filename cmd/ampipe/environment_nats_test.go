package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// natsNode is a NATS server with a configuration file that may change.
type natsNode struct {
	*site
	port int
	node *server.Server
}

// nats starts a NATS server with a configuration, in which $STORE is its folder, and
// names its URL $NATS.
func (s *site) nats(text string) *natsNode {
	s.Helper()
	n := &natsNode{site: s, port: sinktest.FreePort(s.T)}
	s.vars["NATS"] = fmt.Sprintf("127.0.0.1:%d", n.port)
	s.Cleanup(n.stop)
	n.start(text)
	return n
}

// start starts the server, again if it runs.
func (n *natsNode) start(text string) {
	n.Helper()
	n.stop()
	text = strings.ReplaceAll(text, "$STORE", filepath.Join(n.dir, "store"))
	opts, err := server.ProcessConfigFile(n.write("nats.conf", text))
	if err != nil {
		n.Fatal(err)
	}
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", n.port, true, true
	if n.node, err = server.NewServer(opts); err != nil {
		n.Fatal(err)
	}
	n.node.Start()
	if !n.node.ReadyForConnections(30 * time.Second) {
		n.Fatal("the NATS server did not start")
	}
}

func (n *natsNode) stop() {
	if n.node != nil {
		n.node.Shutdown()
		n.node.WaitForShutdown()
	}
}

// onNATS returns lake on a NATS server of its own, with more keys.
func onNATS(more string) string {
	return `
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { max_block: 40 }
nats: { url: nats://$NATS }
sinks: [ { name: lake, delta: { path: ./lake } } ]
` + more
}

// advised returns what the sentence of check says behind some words.
func (s *site) advised(words string) string {
	s.Helper()
	m := regexp.MustCompile(regexp.QuoteMeta(words) + ` ([0-9]+[KM]iB)`).FindStringSubmatch(s.say)
	if m == nil {
		s.Fatalf("%q advises nothing behind %q", s.say, words)
	}
	return m[1]
}

// broke and mend run a NATS server with one configuration and then with another.
func broke(text string) func(s *site) { return func(s *site) { s.server = s.nats(text) } }
func mend(text string) func(s *site)  { return func(s *site) { s.server.start(text) } }

const roomy = `jetstream { store_dir: "$STORE", max_file_store: 2GiB }`

// account returns a NATS server with an account of these limits.
func account(limits string) string {
	return fmt.Sprintf(`
jetstream { store_dir: "$STORE", max_file_store: 40GiB }
accounts { A { jetstream { %s }, users: [ { user: a, password: a } ] } }
no_auth_user: a
`, limits)
}

// user returns a NATS server with one user who may not publish to something.
func user(denied string) string {
	return fmt.Sprintf(`
jetstream { store_dir: "$STORE" }
authorization { users: [ { user: u, password: p, permissions: { publish: { allow: ">", deny: %q } } } ] }
`, denied)
}

func TestEnvironmentsOfNATS(t *testing.T) {
	t.Parallel()
	withLongQuery := strings.Replace(onNATS(""), "SELECT * FROM eth.logs",
		fmt.Sprintf(`"SELECT * FROM eth.logs WHERE '%s' <> ''"`, strings.Repeat("0x00", 30_000)), 1)
	try(t, []environment{{
		name:   "a NATS server with less room than the log reserves",
		config: onNATS(""),
		breaks: broke(roomy),
		says:   "the NATS server has room for 2 GiB and pipeline logs needs 20.3 GiB",
		mends:  func(s *site) { s.vars["MAX_BYTES"] = s.advised("lower log.max_bytes to") },
		mended: onNATS("log: { max_bytes: $MAX_BYTES }"),
	}, {
		name:   "a NATS server with room for the log alone",
		config: onNATS("log: { max_bytes: 2GiB }"),
		breaks: broke(roomy),
		says:   "and 320 MiB for tasks and state",
		mends: func(s *site) {
			more := s.advised("raise max_file_store of the server by")
			s.server.start(fmt.Sprintf(`jetstream { store_dir: "$STORE", max_file_store: %dMiB }`, 2048+number(s, more)))
		},
	}, {
		name:   "an account with less room than the log reserves",
		config: onNATS("log: { max_bytes: 2GiB }"),
		breaks: broke(account("max_file: 2GiB")),
		says:   "the NATS account has room for 2 GiB and pipeline logs needs 2.3 GiB",
		mends: func(s *site) {
			s.server.start(account(fmt.Sprintf("max_file: %dMiB", 2048+number(s, s.advised("raise max_file of the account (its disk storage) by")))))
		},
	}, {
		name:   "an account with too few streams",
		config: onNATS("log: { max_bytes: 1GiB }"),
		breaks: broke(account("max_file: 20GiB, max_streams: 2")),
		says:   "raise max_streams of the account",
		mends:  mend(account("max_file: 20GiB, max_streams: 3")),
	}, {
		name:   "an account with too few consumers",
		config: onNATS("log: { max_bytes: 1GiB }"),
		breaks: broke(account("max_file: 20GiB, max_consumers: 5")),
		says:   "raise max_consumers of the account",
		mends:  mend(account("max_file: 20GiB, max_consumers: 6")),
	}, {
		name:   "a query that is longer than a message",
		config: withLongQuery,
		breaks: broke("max_payload: 100000\n" + `jetstream { store_dir: "$STORE", max_file_store: 40GiB }`),
		says:   "raise max_payload of the NATS server, or shorten source.query",
		mends:  mend("max_payload: 1MB\n" + `jetstream { store_dir: "$STORE", max_file_store: 40GiB }`),
	}, {
		name:   "a user without the right to make the log",
		config: strings.Replace(onNATS("log: { max_bytes: 1GiB }"), "nats://$NATS", "nats://u:p@$NATS", 1),
		breaks: broke(user("$JS.API.STREAM.CREATE.AMPIPE_LOG_logs")),
		says:   `NATS does not allow user "u" to publish to "$JS.API.STREAM.CREATE.AMPIPE_LOG_logs"`,
		mends:  mend(user("other")),
	}, {
		name:   "a wrong password",
		config: strings.Replace(onNATS("log: { max_bytes: 1GiB }"), "nats://$NATS", "nats://u:wrong@$NATS", 1),
		breaks: broke(user("other")),
		says:   "check the user and its password",
		mended: strings.Replace(onNATS("log: { max_bytes: 1GiB }"), "nats://$NATS", "nats://u:p@$NATS", 1),
	}, {
		name:   "a NATS server without JetStream",
		config: onNATS("log: { max_bytes: 1GiB }"),
		breaks: broke(""),
		says:   "JetStream is off on the NATS server",
		mends:  mend(roomy),
	}, {
		name:   "a folder of the embedded NATS that cannot be made",
		config: strings.Replace(lake, "./nats", "./file/nats", 1),
		breaks: func(s *site) { s.write("file", "") },
		says:   "name another folder in nats.embedded",
		mended: lake,
	}, {
		name:   "a folder of the embedded NATS that another process has",
		config: lake,
		breaks: func(s *site) {
			other, err := queue.StartServer(s.Context(), queue.ServerConfig{Dir: filepath.Join(s.dir, "nats")})
			if err != nil {
				s.Fatal(err)
			}
			s.stop = other.Close
		},
		says: fmt.Sprintf("is in use by process %d", os.Getpid()),
		mends: func(s *site) {
			if err := s.stop(); err != nil {
				s.Error(err)
			}
		},
	}, {
		name:   "a NATS server that does not run",
		config: onNATS("log: { max_bytes: 1GiB }"),
		breaks: func(s *site) {
			s.server = s.nats(roomy)
			s.server.stop()
		},
		says:  "start the server, or correct nats.url",
		exit:  ops.ExitFailed,
		waits: true,
		mends: mend(roomy),
	}, {
		name:   "replicas on a single NATS server",
		config: strings.Replace(onNATS("log: { max_bytes: 1GiB }"), "$NATS }", "$NATS, replicas: 3 }", 1),
		breaks: broke(roomy),
		says:   "set nats.replicas to 1",
		mended: onNATS("log: { max_bytes: 1GiB }"),
	}, {
		name:   "too few files",
		config: lake,
		breaks: func(s *site) { s.files = 40 },
		says:   "this process may open 40 files, and the configuration needs",
		mends: func(s *site) {
			if _, err := fmt.Sscanf(s.say[strings.Index(s.say, "raise the limit to"):], "raise the limit to %d", &s.files); err != nil {
				s.Fatal(err)
			}
		},
	}, {
		name:   "more for a block than NATS takes in one step",
		config: onNATS("log: { max_bytes: 1GiB, max_block_bytes: 256MiB }"),
		breaks: broke("max_payload: 100000\n" + roomy),
		says:   "log.max_block_bytes is 256 MiB, and NATS takes at most",
		mends:  func(s *site) { s.vars["MAX_BLOCK"] = s.advised("lower log.max_block_bytes to") },
		mended: onNATS("log: { max_bytes: 1GiB, max_block_bytes: $MAX_BLOCK }"),
	}})
}

func number(s *site, size string) (mib int) {
	s.Helper()
	if _, err := fmt.Sscanf(size, "%dMiB", &mib); err != nil {
		s.Fatal(err)
	}
	return mib
}
