package queue_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// account runs a NATS server with an account of these limits.
func account(t *testing.T, limits string) *server.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `
listen: "127.0.0.1:-1"
jetstream { store_dir: %q, max_file_store: 4GB }
accounts { A { jetstream { %s }, users: [ { user: a, password: a } ] } }
no_auth_user: a
`, t.TempDir(), limits), 0o600))
	opts, err := server.ProcessConfigFile(file)
	must(t, err)
	return startServer(t, opts)
}

// refused returns the permanent error of CheckRoom, as one line.
func refused(t *testing.T, c *queue.Conn, needs queue.Needs) string {
	t.Helper()
	_, err := c.CheckRoom(testContext(t), "pipe", needs)
	if err == nil {
		return ""
	}
	if fault.Of(err) != fault.ClassPermanent || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v: %v", fault.Of(err), err)
	}
	return err.Error()
}

// TestCheckRoom names what there is and what is needed, and what it advises fits exactly.
func TestCheckRoom(t *testing.T) {
	t.Parallel()
	const gib = int64(1 << 30)
	node := natsServer(t, filepath.Join(t.TempDir(), "store"), 2*gib)
	c := mustOpen(t, queue.Config{URL: node.ClientURL()})
	for _, s := range []struct {
		log  int64
		want string
	}{
		{gib, ""},
		{2*gib - 320<<20, ""},
		{2*gib - 319<<20, "the NATS server has room for 2048MiB and pipeline pipe needs 2049MiB (1.7 GiB for the log (log.max_bytes), and 320 MiB for tasks and state): " +
			"lower log.max_bytes to 1728MiB, or raise max_file_store of the server by 1MiB"},
		{20 * gib, "the NATS server has room for 2 GiB and pipeline pipe needs 20.3 GiB (20 GiB for the log (log.max_bytes), and 320 MiB for tasks and state): " +
			"lower log.max_bytes to 1728MiB, or raise max_file_store of the server by 18752MiB"},
	} {
		if got := refused(t, c, queue.Needs{LogBytes: s.log, Sinks: 1}); got != s.want {
			t.Errorf("a log of %d bytes:\n%s\nwant\n%s", s.log, got, s.want)
		}
		if _, reserved, err := node.JetStreamReservedResources(); err != nil || reserved != 0 {
			t.Errorf("a log of %d bytes: the server believes that %d bytes are reserved: %v", s.log, reserved, err)
		}
	}
	everything(t, node.ClientURL(), 1728<<20) // what is advised fits
	if got := refused(t, c, queue.Needs{LogBytes: 1728 << 20, Sinks: 1}); got != "" {
		t.Errorf("what is there needs no room: %s", got)
	}
	if got, want := refused(t, c, queue.Needs{LogBytes: 2 * gib, Sinks: 1}),
		"the NATS server has room for 0 bytes and pipeline pipe needs 320 MiB (320 MiB by which the log (log.max_bytes: 2 GiB) is to grow): "+
			"lower log.max_bytes to 1728MiB, or raise max_file_store of the server by 320MiB"; got != want {
		t.Errorf("a log that grows:\n%s\nwant\n%s", got, want)
	}
	if names := streams(t, node.ClientURL()); names != "AMPIPE_LOG_pipe AMPIPE_TASKS KV_AMPIPE_STATE" {
		t.Errorf("left behind: %s", names)
	}
}

func streams(t *testing.T, url string) string {
	t.Helper()
	var names []string
	list := mustJetStream(t, url).StreamNames(testContext(t))
	for name := range list.Name() {
		names = append(names, name)
	}
	must(t, list.Err())
	return strings.Join(names, " ")
}

// TestCheckRoomOfAnAccount reads the limits of an account.
func TestCheckRoomOfAnAccount(t *testing.T) {
	t.Parallel()
	for limits, want := range map[string]string{
		"max_file: 4GB":                                "",
		"max_file: 1GB":                                "the NATS account has room for 1 GiB and pipeline pipe needs 1.3 GiB (1 GiB for the log (log.max_bytes), and 320 MiB for tasks and state): lower log.max_bytes to 704MiB, or raise max_file of the account (its disk storage) by 320MiB",
		"max_file: 4GB, max_streams: 2":                "the NATS account may have 2 streams and has 0, and the pipeline needs 3 more: raise max_streams of the account",
		"max_file: 4GB, max_consumers: 3":              "a stream of the NATS account may have 3 consumers, and ampipe needs 6: raise max_consumers of the account",
		"max_file: 4GB, disk_max_stream_bytes: 800MiB": "a stream of the NATS account may reserve 800 MiB, and log.max_bytes is 1 GiB: lower log.max_bytes to 800MiB, or raise disk_max_stream_bytes of the account",
	} {
		t.Run(limits, func(t *testing.T) {
			t.Parallel()
			node := account(t, limits)
			c := mustOpen(t, queue.Config{URL: node.ClientURL()})
			if got := refused(t, c, queue.Needs{LogBytes: 1 << 30, Sinks: 1}); !strings.HasPrefix(got, want) || (want == "" && got != "") {
				t.Errorf("%s\nwant\n%s", got, want)
			}
			if want == "" {
				everything(t, node.ClientURL(), 1<<30)
			}
		})
	}
}

// TestRightsAreTried finds out, without an effect, what the shipped users may do.
func TestRightsAreTried(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	planner := queue.Config{URL: url, User: "planner", Password: shipped.Password("planner"), Role: "planner"}
	ctx := testContext(t)
	c := mustOpen(t, planner)
	l := mustLog(t, c, 1<<30)
	_, err := c.State(ctx, "pipe")
	must(t, err)
	_, err = c.Tasks(ctx, "pipe")
	must(t, err)
	for user, want := range map[string]string{"planner": "planner", "extractor": "extractor", "sink-warehouse": "sink warehouse", "operator": ""} {
		c := mustOpen(t, queue.Config{URL: url, User: user, Password: shipped.Password(user), Role: user})
		rights, err := c.Rights(ctx, "pipe", []string{"warehouse", "lake"}, []string{"lake"})
		if err != nil || rights.All || rights.Only != want || rights.Lacks == nil {
			t.Errorf("%s: %+v, %v", user, rights, err)
		}
		tried, err := c.CheckRoom(ctx, "pipe", queue.Needs{LogBytes: 2 << 30, Sinks: 2})
		if may := user == "planner" || user == "operator"; err != nil || tried != may {
			t.Errorf("%s: the room was tried: %v, %v", user, tried, err)
		}
	}
	state, err := l.State(ctx)
	if err != nil || state.Last != 0 {
		t.Errorf("something was written to the log: %+v, %v", state, err)
	}
}

// TestARightThatIsMissing is a user for everything who may not make streams.
func TestARightThatIsMissing(t *testing.T) {
	t.Parallel()
	node := restricted(t, "$JS.API.STREAM.CREATE.AMPIPE_LOG_pipe")
	c := mustOpen(t, queue.Config{URL: node.ClientURL(), User: "u", Password: "p"})
	_, err := c.Rights(testContext(t), "pipe", []string{"warehouse"}, nil)
	if err == nil || !strings.Contains(err.Error(), `NATS does not allow user "u" to publish to "$JS.API.STREAM.CREATE.AMPIPE_LOG_pipe"`) {
		t.Errorf("%v", err)
	}
	if fault.Of(err) != fault.ClassPermanent {
		t.Errorf("class %v", fault.Of(err))
	}
}

// restricted runs a NATS server whose user u may not publish to a subject.
func restricted(t *testing.T, denied string) *server.Server {
	t.Helper()
	return startServer(t, &server.Options{
		StoreDir: t.TempDir(),
		Users: []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{denied}},
		}}},
	})
}
