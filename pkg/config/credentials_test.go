package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// TestCredentialsFromFiles reads what each process has in a file of its own.
func TestCredentialsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"password": "hidden\n", "token": " bare\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const text = `pipeline: p
source: { amp: "%s", query: SELECT 1, %s }
nats: { %s }
sinks: [ { name: w, postgres: { dsn: "postgres://h/d", table: t } } ]
`
	parse := func(amp, source, nats string) (*config.Pipeline, error) {
		all, err := config.Parse(filepath.Join(dir, "p.yaml"), fmt.Appendf(nil, text, amp, source, nats), func(string) string { return "" })
		if err != nil {
			return nil, err
		}
		return all[0], nil
	}
	p, err := parse("grpcs://h", "bearer_file: token, tls: { ca: ca.pem, cert: c.pem, key: k.pem }", `url: "nats://h", user: sink-w, password_file: password`)
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Source.Token) != "bare" || p.Source.TLS.CA != filepath.Join(dir, "ca.pem") || p.NATS.User != "sink-w" || string(p.NATS.Password) != "hidden" {
		t.Errorf("%q %+v %+v %q", string(p.Source.Token), p.Source.TLS, p.NATS, string(p.NATS.Password))
	}
	if shown := fmt.Sprintf("%+v", *p); strings.Contains(shown, "hidden") || strings.Contains(shown, "bare") {
		t.Error(shown)
	}
	if p, err = parse("grpc://h", "token: t", `url: "nats://h", nkey: seed`); err != nil || p.NATS.NKey != filepath.Join(dir, "seed") {
		t.Errorf("%+v, %v", p, err)
	}
	for _, c := range []struct{ amp, source, nats, want string }{
		{"grpc://h", "token: t, bearer_file: token", `url: "nats://h"`, "source.token and source.bearer_file are both given"},
		{"grpc://h", "tls: { ca: ca.pem }", `url: "nats://h"`, "source.tls is for grpcs://"},
		{"grpcs://h", "tls: { cert: c.pem }", `url: "nats://h"`, "source.tls needs cert and key together"},
		{"grpc://h", "token: t", `url: "nats://h", user: u`, "nats.user and nats.password (or nats.password_file) go together"},
		{"grpc://h", "token: t", `url: "nats://h", nkey: seed, creds: c`, "nats.nkey and nats.creds are both given"},
		{"grpc://h", "token: t", `url: "nats://a:hidden@h", nkey: seed`, "nats.url holds a user as well"},
		{"grpc://h", "token: t", `embedded: data, nkey: seed`, "nats.nkey is for nats.url"},
	} {
		if _, err := parse(c.amp, c.source, c.nats); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s, %s: %v", c.source, c.nats, err)
		}
	}
}
