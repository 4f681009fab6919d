package queue_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
	"github.com/ampipe/ampipe/pkg/state"
)

// operations are what a process may ask of NATS, and which users may.
var operations = []struct {
	what, subject string
	may           string // users, with blanks between
}{
	{"write history to the log", "ampipe.log.pipe.p.0.0", "extractor"},
	{"write to the live lane", "ampipe.log.pipe.live", "extractor"},
	{"write something else to the log", "ampipe.log.pipe.other", ""},
	{"write the plan", "$KV.AMPIPE_STATE.pipe.spec", "planner"},
	{"write a partition", "$KV.AMPIPE_STATE.pipe.partition.0.0", "planner extractor"},
	{"write the position of the live lane", "$KV.AMPIPE_STATE.pipe.live", "planner extractor"},
	{"write the report of a sink", "$KV.AMPIPE_STATE.pipe.sink.warehouse", "sink-warehouse"},
	{"write the report of another sink", "$KV.AMPIPE_STATE.pipe.sink.lake", "sink-lake"},
	{"pause a sink", "$KV.AMPIPE_STATE.pipe.pause.warehouse", "planner"},
	{"ask for a replay, and say how far it is", "$KV.AMPIPE_STATE.pipe.replay.warehouse", "planner sink-warehouse"},
	{"say that the planner lives", "$KV.AMPIPE_STATE.pipe.process.planner.0", "planner"},
	{"say that an extractor lives", "$KV.AMPIPE_STATE.pipe.process.extractor.1", "extractor"},
	{"say that a sink lives", "$KV.AMPIPE_STATE.pipe.process.sink-warehouse.0", "sink-warehouse"},
	{"put a row of a sink aside", "ampipe.dead.pipe.warehouse.17.0123-0", "sink-warehouse"},
	{"put a row of another sink aside", "ampipe.dead.pipe.lake.17.0123-0", "sink-lake"},
	{"empty the dead letters of a sink", "$JS.API.STREAM.PURGE.AMPIPE_DEAD_pipe+warehouse", "planner"},
	{"read the dead letters of a sink", "$JS.API.DIRECT.GET.AMPIPE_DEAD_pipe+warehouse.ampipe.dead.pipe.warehouse.17.0123-0", "planner extractor sink-warehouse sink-lake sink-cache operator"},
	{"queue a partition", "ampipe.task.pipe.partition.0.0", "planner extractor"},
	{"queue the live lane", "ampipe.task.pipe.live.chain", "planner"},
	{"queue something else", "ampipe.task.pipe.other.1", ""},
	{"take a task", "$JS.API.CONSUMER.MSG.NEXT.AMPIPE_TASKS.partition-pipe", "extractor"},
	{"finish a task", "$JS.ACK.AMPIPE_TASKS.partition-pipe.1.1.1.1.0", "extractor"},
	{"finish a task, in the later form", "$JS.ACK._.hash.AMPIPE_TASKS.partition-pipe.1.1.1.1.0", "extractor"},

	{"read the log for a sink", "$JS.API.CONSUMER.MSG.NEXT.AMPIPE_LOG_pipe.history-warehouse", "sink-warehouse"},
	{"read the live lane for a sink", "$JS.API.CONSUMER.MSG.NEXT.AMPIPE_LOG_pipe.live-warehouse", "sink-warehouse"},
	{"read the log for another sink", "$JS.API.CONSUMER.MSG.NEXT.AMPIPE_LOG_pipe.history-lake", "sink-lake"},
	{"acknowledge for a sink", "$JS.ACK.AMPIPE_LOG_pipe.history-warehouse.1.1.1.1.0", "sink-warehouse"},
	{"acknowledge live entries for a sink", "$JS.ACK.AMPIPE_LOG_pipe.live-warehouse.1.1.1.1.0", "sink-warehouse"},
	{"acknowledge for another sink", "$JS.ACK.AMPIPE_LOG_pipe.history-lake.1.1.1.1.0", "sink-lake"},
	{"acknowledge in the later form", "$JS.ACK._.hash.AMPIPE_LOG_pipe.live-cache.1.1.1.1.0", "sink-cache"},
	{"hand the live lane on", "$JS.API.CONSUMER.UNPIN.AMPIPE_LOG_pipe.live-warehouse", "sink-warehouse"},
	{"make the consumer of a sink", "$JS.API.CONSUMER.CREATE.AMPIPE_LOG_pipe.history-warehouse.ampipe.log.pipe.p.>", "sink-warehouse"},
	{"make the live consumer of a sink", "$JS.API.CONSUMER.CREATE.AMPIPE_LOG_pipe.live-warehouse.ampipe.log.pipe.live", "sink-warehouse"},
	{"make it for other lanes", "$JS.API.CONSUMER.CREATE.AMPIPE_LOG_pipe.history-warehouse.ampipe.log.pipe.live", ""},
	{"make it for all lanes", "$JS.API.CONSUMER.CREATE.AMPIPE_LOG_pipe.history-warehouse", ""},
	{"make one without a name", "$JS.API.CONSUMER.CREATE.AMPIPE_LOG_pipe", ""},
	{"make one in the old way", "$JS.API.CONSUMER.DURABLE.CREATE.AMPIPE_LOG_pipe.history-warehouse", ""},
	{"remove the consumer of a sink", "$JS.API.CONSUMER.DELETE.AMPIPE_LOG_pipe.history-warehouse", ""},
	{"pause the consumer of a sink", "$JS.API.CONSUMER.PAUSE.AMPIPE_LOG_pipe.history-warehouse", ""},
	{"set back the consumer of a sink", "$JS.API.CONSUMER.RESET.AMPIPE_LOG_pipe.history-warehouse", ""},
	{"remove the consumer of tasks", "$JS.API.CONSUMER.DELETE.AMPIPE_TASKS.partition-pipe", ""},

	{"make a stream", "$JS.API.STREAM.CREATE.AMPIPE_LOG_pipe", "planner"},
	{"change a stream", "$JS.API.STREAM.UPDATE.AMPIPE_LOG_pipe", "planner"},
	{"make the stream of ampipe check", "$JS.API.STREAM.CREATE.AMPIPE_CHECK", "planner operator"},
	{"delete the stream of ampipe check", "$JS.API.STREAM.DELETE.AMPIPE_CHECK", "planner operator"},
	{"trim the log", "$JS.API.STREAM.PURGE.AMPIPE_LOG_pipe", "planner"},
	{"empty the state", "$JS.API.STREAM.PURGE.KV_AMPIPE_STATE", ""},
	{"empty the tasks", "$JS.API.STREAM.PURGE.AMPIPE_TASKS", ""},
	{"delete the log", "$JS.API.STREAM.DELETE.AMPIPE_LOG_pipe", ""},
	{"delete the state", "$JS.API.STREAM.DELETE.KV_AMPIPE_STATE", ""},
	{"delete an entry", "$JS.API.STREAM.MSG.DELETE.AMPIPE_LOG_pipe", ""},
	{"copy a stream out", "$JS.API.STREAM.SNAPSHOT.AMPIPE_LOG_pipe", ""},
	{"copy a stream in", "$JS.API.STREAM.RESTORE.AMPIPE_LOG_pipe", ""},
	{"move a leader", "$JS.API.STREAM.LEADER.STEPDOWN.AMPIPE_LOG_pipe", ""},
	{"remove a server", "$JS.API.SERVER.REMOVE", ""},

	{"read a message", "$JS.API.STREAM.MSG.GET.AMPIPE_LOG_pipe", "planner extractor sink-warehouse sink-lake sink-cache operator"},
	{"read a message from any replica", "$JS.API.DIRECT.GET.AMPIPE_LOG_pipe.ampipe.log.pipe.live", "planner extractor sink-warehouse sink-lake sink-cache operator"},
	{"watch the state", "$JS.API.CONSUMER.CREATE.KV_AMPIPE_STATE.x.$KV.AMPIPE_STATE.pipe.spec", "planner extractor sink-warehouse sink-lake sink-cache operator"},
	{"look at a stream", "$JS.API.STREAM.INFO.AMPIPE_LOG_pipe", strings.Join(queuetest.Users, " ")},
	{"look at the consumer of a sink", "$JS.API.CONSUMER.INFO.AMPIPE_LOG_pipe.history-warehouse", "planner sink-warehouse operator monitoring"},
	{"list streams", "$JS.API.STREAM.LIST", "monitoring"},
	{"ask the system account", "$SYS.REQ.SERVER.PING", ""},
	{"answer another process", "_INBOX.planner.x", ""},
}

// spied is what nobody may listen to, besides the inboxes of others.
var spied = []string{">", "_INBOX.>", "_INBOX.*.>", "ampipe.>", "ampipe.log.pipe.live", "$KV.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>"}

// raw is a plain client with a user's credentials.
type raw struct{ *nats.Conn }

func dialRaw(t *testing.T, url string, shipped *queuetest.Shipped, user string) raw {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserInfo(user, shipped.Password(user)), nats.CustomInboxPrefix("_INBOX."+user),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // it is asked for its last error
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	return raw{nc}
}

// refuses reports whether the server refuses what do sends. What it says comes before
// the answer to the ping of the flush.
func (r raw) refuses(t *testing.T, subject string, do func()) bool {
	t.Helper()
	do()
	if err := r.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	err := r.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`)
}

// TestShippedPermissions asks for everything with every user's credentials, as a program
// of an intruder would.
func TestShippedPermissions(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	for _, user := range queuetest.Users {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			r := dialRaw(t, url, shipped, user)
			for _, o := range operations {
				may := slices.Contains(strings.Fields(o.may), user)
				refused := r.refuses(t, o.subject, func() {
					if err := r.PublishRequest(o.subject, "_INBOX."+user+".reply", []byte("{}")); err != nil {
						t.Fatal(err)
					}
				})
				if refused == may {
					t.Errorf("%s: refused is %v", o.what, refused)
				}
			}
			listen := slices.Clone(spied)
			for _, other := range queuetest.Users {
				if other != user {
					listen = append(listen, "_INBOX."+other+".>")
				}
			}
			for _, subject := range listen {
				refused := r.refuses(t, subject, func() {
					if _, err := r.SubscribeSync(subject); err != nil {
						t.Fatal(err)
					}
				})
				if !refused {
					t.Errorf("it may listen to %s", subject)
				}
			}
		})
	}
}

// TestAnothersCredentials connects every process with the credentials of every other.
func TestAnothersCredentials(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	for _, role := range queuetest.Users {
		for _, user := range queuetest.Users {
			began := time.Now()
			conn, err := queue.Open(testContext(t), queue.Config{URL: url, Role: role, User: user, Password: shipped.Password(user)})
			if err == nil {
				conn.Close()
			}
			switch {
			case role == user:
				if err != nil {
					t.Errorf("%s: %v", role, err)
				}
			case fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), `user "`+user+`" to subscribe to "_INBOX.`+role):
				t.Errorf("%s with the credentials of %s: %v", role, user, err)
			case strings.Contains(err.Error(), shipped.Password(user)):
				t.Errorf("%s with the credentials of %s: the error holds the password", role, user)
			case time.Since(began) > 3*time.Second:
				t.Errorf("%s with the credentials of %s: refused after %v", role, user, time.Since(began))
			}
		}
	}
}

// TestARefusalIsSeenAtOnce: the server does not answer what it refuses, and the request
// would time out.
func TestARefusalIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	as := func(role string, mustExist bool) *queue.Conn {
		return mustOpen(t, queue.Config{URL: url, Role: role, User: role, Password: shipped.Password(role), MustExist: mustExist})
	}
	refused := func(subject string, do func() error) {
		t.Helper()
		began := time.Now()
		err := do()
		if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), subject) || time.Since(began) > 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	}
	// Streams are the planner's to make; a process that comes before it waits.
	early := as("extractor", true)
	if _, err := early.Tasks(testContext(t), "pipe"); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "start the planner") {
		t.Error(err)
	}
	refused("$JS.API.STREAM.", func() error {
		_, err := as("extractor", false).Tasks(testContext(t), "pipe")
		return err
	})

	planner := as("planner", false)
	log := mustLog(t, planner, 64<<20)
	kv, err := planner.State(testContext(t), "pipe")
	must(t, err)
	_, err = planner.Tasks(testContext(t), "pipe")
	must(t, err)
	_, err = kv.SaveSpec(testContext(t), state.Spec{Epoch: 1}, 0)
	must(t, err)
	refused("ampipe.log.pipe.live", func() error {
		_, err := log.Publish(testContext(t), queue.LiveLane, 0, "a", group(0, 1, 10))
		return err
	})
	kv, err = as("sink-lake", true).State(testContext(t), "pipe")
	must(t, err)
	must(t, kv.PutReport(testContext(t), state.SinkReport{Name: "lake"}))
	refused("sink.warehouse", func() error { return kv.PutReport(testContext(t), state.SinkReport{Name: "warehouse"}) })
	refused("sink.warehouse", func() error { // the connection is closed now
		_, _, err := kv.LoadSpec(testContext(t))
		return err
	})

	// A consumer has a connection of its own.
	log, err = as("sink-lake", true).Log(testContext(t), "pipe", queue.LogConfig{})
	must(t, err)
	refused("history-warehouse", func() error {
		_, err := log.Consume(testContext(t), "warehouse", queue.ConsumeOptions{})
		return err
	})
}

// TestShippedWithKeysAndTLS is the other way to say who a process is, over TLS in which
// the server wants a certificate as well.
func TestShippedWithKeysAndTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pki := newAuthority(t, dir)
	pki.issue(t, "server")
	pki.issue(t, "client")
	shipped := queuetest.Ship(t)
	var keys strings.Builder
	for _, user := range queuetest.Users {
		pair, err := nkeys.CreateUser()
		must(t, err)
		public, err := pair.PublicKey()
		must(t, err)
		seed, err := pair.Seed()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, user), seed, 0o600))
		fmt.Fprintf(&keys, "%s_NKEY: %s\n", strings.ToUpper(strings.ReplaceAll(user, "-", "_")), public)
	}
	must(t, os.WriteFile(shipped.File("nkeys.conf"), []byte(keys.String()), 0o600))
	shipped.Edit("server.conf", "accounts.conf", "accounts-nkeys.conf", "# include ./tls.conf", "include ./tls.conf")
	shipped.Edit("tls.conf", "/etc/nats/tls/tls.crt", filepath.Join(dir, "server.pem"), "/etc/nats/tls/tls.key", filepath.Join(dir, "server.key"),
		"/etc/nats/tls/ca.crt", filepath.Join(dir, "ca.pem"), "verify: false", "verify: true")
	url := strings.Replace(shipped.Server().ClientURL(), "nats://", "tls://", 1)
	for _, role := range queuetest.Users {
		whole := queue.Config{
			URL: url, Role: role, NKey: filepath.Join(dir, role),
			TLS: queue.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")},
		}
		mustOpen(t, whole)
		for name, change := range map[string]func(*queue.Config){
			"no key":         func(c *queue.Config) { c.NKey = "" },
			"another's key":  func(c *queue.Config) { c.Role = "x-" + role },
			"no certificate": func(c *queue.Config) { c.TLS.Cert, c.TLS.Key = "", "" },
			"not a key":      func(c *queue.Config) { c.NKey = filepath.Join(dir, "ca.pem") },
		} {
			cfg := whole
			change(&cfg)
			conn, err := queue.Open(testContext(t), cfg)
			if err == nil {
				conn.Close()
			}
			// A server that wants a certificate hangs up after the handshake, as one does that stops.
			if err == nil || (fault.Of(err) != fault.ClassPermanent && name != "no certificate") {
				t.Errorf("%s, %s: %v", role, name, err)
			}
		}
	}
}

// TestWhatAReplyMayDo: the server answers to any subject that a request names, also to
// one that the asking user may not write. Acknowledgements are safe from that, state and
// log are not: what comes there is no document and no entry, and is treated as damage.
func TestWhatAReplyMayDo(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	planner := mustOpen(t, queue.Config{URL: url, Role: "planner", User: "planner", Password: shipped.Password("planner")})
	log := mustLog(t, planner, 64<<20)
	kv, err := planner.State(testContext(t), "pipe")
	must(t, err)
	_, err = kv.SaveSpec(testContext(t), state.Spec{Epoch: 1}, 0)
	must(t, err)
	sink := dialRaw(t, url, shipped, "sink-lake")
	ask := func(reply string) {
		t.Helper()
		if err := sink.PublishRequest("$JS.API.INFO", reply, nil); err != nil {
			t.Fatal(err)
		}
		if err := sink.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
	ask("$JS.ACK.AMPIPE_LOG_pipe.history-warehouse.1.1.1.1.0")
	if !errors.Is(sink.LastError(), nats.ErrPermissionViolation) {
		t.Errorf("a reply may acknowledge another sink's message: %v", sink.LastError())
	}
	ask("ampipe.log.pipe.live")
	for limit := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		tail, err := log.Tail(testContext(t), queue.LiveLane)
		must(t, err)
		if tail.Found {
			if tail.Damaged == nil {
				t.Errorf("it counts as an entry: %+v", tail)
			}
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the answer does not come to the log any more: say so in docs/security.md")
		}
	}
}

// TestNoRollUp: a header of a message that a sink may write must not remove what others
// have written.
func TestNoRollUp(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	planner := mustOpen(t, queue.Config{URL: url, Role: "planner", User: "planner", Password: shipped.Password("planner")})
	kv, err := planner.State(testContext(t), "pipe")
	must(t, err)
	_, err = kv.SaveSpec(testContext(t), state.Spec{Epoch: 1}, 0)
	must(t, err)
	sink := dialRaw(t, url, shipped, "sink-lake")
	for _, how := range []string{"all", "sub"} {
		msg := nats.NewMsg("$KV.AMPIPE_STATE.pipe.sink.lake")
		msg.Header.Set("Nats-Rollup", how)
		answer, err := sink.RequestMsg(msg, patience)
		must(t, err)
		var told struct{ Error *struct{ Description string } }
		must(t, json.Unmarshal(answer.Data, &told))
		if told.Error == nil || !strings.Contains(told.Error.Description, "rollup") {
			t.Errorf("roll-up %s: %s", how, answer.Data)
		}
	}
	if spec, _, err := kv.LoadSpec(testContext(t)); err != nil || spec.Epoch != 1 {
		t.Errorf("%+v, %v", spec, err)
	}
}
