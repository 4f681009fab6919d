package redis_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// authority signs certificates of servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// trusted is the authority that this process trusts.
var trusted authority

// trustAuthority makes it, and has it trusted as a user would.
func trustAuthority() (err error) {
	if trusted, err = newAuthority(); err != nil {
		return err
	}
	f, err := os.CreateTemp("", "ampipe-ca")
	if err != nil {
		return err
	}
	if err := pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: trusted.cert.Raw}); err != nil {
		return err
	}
	if err := os.Setenv("SSL_CERT_FILE", f.Name()); err != nil {
		return err
	}
	return f.Close()
}

func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, key}, err
}

// serve writes a certificate for 127.0.0.1 and its key, and returns the server's
// options that name them.
func (a authority) serve(t testing.TB) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	for i, b := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(files[i], pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--tls-cert-file", files[0], "--tls-key-file", files[1], "--tls-ca-cert-file", files[0], "--tls-auth-clients", "no"}
}

// loads opens a sink at a URL, and loads and verifies two rows.
func loads(t *testing.T, s *server, at string) {
	t.Helper()
	cfg := s.config(config.Hash, "{table}:{block_num}:{address}")
	cfg.URL = config.Secret(at)
	w := open(t, cfg, balanceTable(s))
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	if got := apply(t, w, c); got.Rows != 2 {
		t.Errorf("%+v, want two rows", got)
	}
	sinktest.WantSameDigests(t, w, c.Records...)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	stranger, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	start := func(a authority) (*server, string) {
		port := strconv.Itoa(sinktest.FreePort(t))
		p := launch(t, redisServer(t), append(a.serve(t), "--tls-port", port)...)
		ready(t, p.socket(), answers)
		return serverAt(t, p.socket()), "rediss://127.0.0.1:" + port
	}
	s, known := start(trusted)
	loads(t, s, known)
	s, unknown := start(stranger)
	loads(t, s, unknown+"?skip_verify=true")

	other := serverAt(t, s.url)
	cfg := other.config(config.Hash, "{table}:{block_num}:{address}")
	for at, want := range map[string]struct {
		class fault.Class
		text  string
	}{
		unknown: {fault.ClassPermanent, "check the scheme of the url and the server's certificate"},
		strings.Replace(known, "127.0.0.1", "localhost", 1):  {fault.ClassPermanent, "check the scheme of the url and the server's certificate"},
		strings.Replace(unknown, "rediss://", "redis://", 1): {fault.ClassLater, "rediss:// is for a server with TLS"},
		"rediss://" + strings.TrimPrefix(tcp(t), "redis://"): {fault.ClassLater, "redis:// for one without"},
	} {
		cfg.URL = config.Secret(at)
		err := redis.New(cfg).Open(t.Context(), balanceTable(other))
		if fault.Of(err) != want.class || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s is answered with %v, want %q", at, err, want.text)
		}
	}
}

// A user with the rights that the manuals name can do everything; each that is needed is
// said if it is missing, before anything is written, with a line that grants it.
func TestUserWithFewRights(t *testing.T) {
	t.Parallel()
	t.Run("Redis", func(t *testing.T) { userWithFewRights(t, redisServer(t)) })
	t.Run("Valkey", func(t *testing.T) { userWithFewRights(t, other(t, "valkey")) })
}

func userWithFewRights(t *testing.T, bin string) {
	port := strconv.Itoa(sinktest.FreePort(t))
	p := launch(t, bin, "--port", port)
	ready(t, p.socket(), answers)
	s := serverAt(t, p.socket())
	const password = "ge/heim:ß"
	keys := []string{"~" + s.name + ":*", "~ampipe:{" + s.name + "}:*"}
	user := func(name string, rules ...string) string {
		t.Helper()
		rules = slices.Concat([]string{"reset", "on", ">" + password}, keys, rules)
		if err := s.ACLSetUser(t.Context(), name, rules...).Err(); err != nil {
			t.Fatal(err)
		}
		return "redis://" + name + ":" + url.QueryEscape(password) + "@127.0.0.1:" + port
	}
	granted := rights(t, "redis.md")
	all := user("all", granted...)
	loads(t, s, all)

	// follow does what an error advises.
	follow := func(err error) {
		t.Helper()
		_, line, found := strings.Cut(fmt.Sprint(err), "run on the server: ")
		if fault.Of(err) != fault.ClassPermanent || !found {
			t.Fatalf("%v, want a permanent error with an advice", err)
		}
		if strings.Contains(err.Error(), "heim") || strings.Contains(err.Error(), url.QueryEscape(password)) {
			t.Errorf("the password is in %v", err)
		}
		var words []any
		for _, w := range strings.Fields(line) {
			words = append(words, w)
		}
		if err := s.UniversalClient.(*driver.Client).Do(t.Context(), words...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	for _, structure := range []config.Structure{config.Hash, config.String, config.Stream, config.Set, config.SortedSet, config.List} {
		cfg := s.config(structure, "{table}:"+string(structure))
		if structure.Keyed() {
			cfg.Key += ":{block_num}:{address}"
		}
		cfg.URL = config.Secret(all)
		table := balanceTable(s)
		table.Sink = string(structure)
		w := open(t, cfg, table)
		c, l := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6}), &live{seq: 1}
		apply(t, w, c, l.next(entryOf(t, blocks(10, 12), balance{3, 11, 1})), l.undo(10, 11))
		sinktest.WantSameDigests(t, w, c.Records...)
		if _, err := w.State(t.Context()); err != nil {
			t.Error(err)
		}
		for _, right := range needed(t, cfg) {
			cfg.URL = config.Secret(user("less", slices.DeleteFunc(slices.Clone(granted), func(r string) bool { return r == right })...))
			err := redis.New(cfg).Check(t.Context(), table)
			if !strings.Contains(fmt.Sprint(err), strings.TrimPrefix(right, "+")) {
				t.Errorf("without %s: %v", right, err)
			}
			follow(err)
			if err := redis.New(cfg).Check(t.Context(), table); err != nil {
				t.Errorf("with %s again: %v", right, err)
			}
		}
	}

	cfg := s.config(config.Hash, "{table}:{block_num}:{address}")
	for name, rules := range map[string][]string{
		"other rows":    {"resetkeys", "~ampipe:{" + s.name + "}:*"},
		"another state": {"resetkeys", "~" + s.name + ":*"},
		"only reading":  {"resetkeys", "%R~*"},
		"nothing":       {"resetkeys", "-@all"},
		"all keys":      {"~*", "-hset", "-unlink"},
	} {
		at := user("few", append(slices.Clone(granted), rules...)...)
		cfg.URL = config.Secret(at)
		err := redis.New(cfg).Check(t.Context(), balanceTable(s))
		t.Logf("%s: %v", name, err)
		follow(err)
		if name == "nothing" { // could not ask before
			follow(redis.New(cfg).Check(t.Context(), balanceTable(s)))
		}
		open(t, cfg, balanceTable(s))
	}
	cfg.URL = config.Secret(all + "/2") // another database
	follow(redis.New(cfg).Check(t.Context(), balanceTable(s)))
	loads(t, s, all+"/2")

	refused := func(at, want string) {
		t.Helper()
		cfg.URL = config.Secret(at)
		err := redis.New(cfg).Check(t.Context(), balanceTable(s))
		if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a permanent error with %q", err, want)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "heim") || strings.Contains(text, url.QueryEscape(password)) {
			t.Errorf("the password is in %q", text)
		}
	}
	refused(all+"/300", "the server has no database of that number")
	refused(strings.Replace(all, "ge", "Ge", 1), "check user and password")
	refused(strings.Replace(all, "all:", "nobody:", 1), "check user and password")
	conn := s.UniversalClient.(*driver.Client).Conn() // stays in
	defer func() { _ = conn.Close() }()
	for _, wanted := range []string{password, ""} {
		if err := conn.ConfigSet(t.Context(), "requirepass", wanted).Err(); err != nil {
			t.Fatal(err)
		}
		if wanted != "" {
			refused("redis://127.0.0.1:"+port, "put user and password into the url")
		}
	}
}

// In a Cluster the driver asks for nodes and commands as well.
func TestUserWithFewRightsInACluster(t *testing.T) {
	t.Parallel()
	port := strconv.Itoa(sinktest.FreePort(t))
	p := launch(t, redisServer(t), "--port", port, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	ready(t, p.socket(), answers)
	s := serverAt(t, p.socket())
	if err := s.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	ready(t, p.socket(), func(ctx context.Context, c *driver.Client) error {
		info, err := c.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(info, "cluster_state:ok") {
			err = errors.New(info)
		}
		return err
	})
	cfg := s.config(config.Hash, "{{"+s.name+"}}:{table}:{block_num}:{address}")
	cfg.Cluster, cfg.URL = true, config.Secret("redis://few:geheim@127.0.0.1:"+port)
	rules := append([]string{"on", ">geheim", "~{" + s.name + "}:*", "~ampipe:{" + s.name + "}:*", "~ampipe:" + s.name + ":*", "+cluster|slots", "+command", "+setbit"}, rights(t, "redis.md")...)
	if err := s.ACLSetUser(t.Context(), "few", rules...).Err(); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg, balanceTable(s))
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	apply(t, w, c)
	sinktest.WantSameDigests(t, w, c.Records...)
}

// RedisJSON has commands of its own, for which a user needs rights.
func TestUserWithRightsForRedisJSON(t *testing.T) {
	t.Parallel()
	at := withJSON(t)
	admin := serverAt(t, at)
	set := func(rules ...string) {
		t.Helper()
		all := append([]string{"reset", "on", ">geheim", "~*"}, append(rules, rights(t, "redis.md")...)...)
		if err := admin.ACLSetUser(t.Context(), "json", all...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := admin.config(config.JSON, "{table}:{block_num}:{address}")
	cfg.URL = config.Secret(strings.Replace(at, "unix://", "unix://json:geheim@", 1))
	set("+command|info", "+json.set", "+json.get")
	w := open(t, cfg, balanceTable(admin))
	c := entryOf(t, blocks(0, 10), balance{1, 1, 5}, balance{2, 2, 6})
	apply(t, w, c)
	sinktest.WantSameDigests(t, w, c.Records...)
	set("+command|info")
	err := redis.New(cfg).Open(t.Context(), balanceTable(admin))
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "+json.set +json.get") {
		t.Errorf("without the rights: %v", err)
	}
}
