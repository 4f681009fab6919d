package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// guardedRules is the pg_hba.conf of the server that asks who comes: an administrator, and
// the members of roles that are called after what they have to show.
const guardedRules = `
hostnossl all ampipe            all trust
hostssl   all +password         all scram-sha-256
hostnossl all +bare_password    all scram-sha-256
hostssl   all +certificate      all cert
hostssl   all +nothing          all trust
host      all +rejected         all reject
`

// guarded is a PostgreSQL with TLS.
type guarded struct {
	url   string // of an administrator
	root  string // the file of its authority
	signs func(cn string) (certificate, key []byte)
}

// newGuarded starts one.
func newGuarded(t *testing.T) guarded {
	t.Helper()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set; see scripts/test")
	}
	files, dir := t.TempDir(), openFolder(t)+"/pg"
	root, signs := newSigner(t, "an authority")
	certificate, key := signs("localhost")
	for name, content := range map[string][]byte{
		"pg_hba.conf": []byte(guardedRules), "root.crt": root, "server.crt": certificate, "server.key": key,
	} {
		if err := os.WriteFile(filepath.Join(files, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := guarded{root: filepath.Join(files, "root.crt"), signs: signs}
	g.url = script(t, []string{
		"PG_FILES=" + files, "PG_SHARED_BUFFERS=32MB", "PG_OPTIONS=-c ssl=on -c ssl_ca_file=root.crt -c fsync=off",
	}, "postgres", "start", dir)
	t.Cleanup(func() { script(t, nil, "postgres", "stop", dir, "immediate") })
	admin, err := pgx.Connect(t.Context(), g.url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	const roles = `CREATE ROLE password; CREATE ROLE bare_password; CREATE ROLE certificate; CREATE ROLE "nothing"; CREATE ROLE rejected`
	if _, err := admin.Exec(t.Context(), roles, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	return g
}

// newSigner makes an authority and returns its certificate and what signs others, for a
// user or a host.
func newSigner(t *testing.T, name string) (root []byte, signs func(cn string) (certificate, key []byte)) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, of, by *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &of.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	encoded := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey := newKey()
	return encoded("CERTIFICATE", sign(authority, authority, authorityKey, authorityKey)), func(cn string) (certificate, key []byte) {
		own := newKey()
		der := sign(&x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, DNSNames: []string{cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, authority, own, authorityKey)
		private, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			t.Fatal(err)
		}
		return encoded("CERTIFICATE", der), encoded("PRIVATE KEY", private)
	}
}

// rightPassword has characters that a URL needs encoded.
const rightPassword = "s3cr3t/@:#%"

// dsn sets the connection string of the loader. parameters are those of the URL.
func (p *warehouseSite) dsn(password, parameters string) {
	p.Helper()
	p.vars["URL"] = replaced(p.site, p.vars["URL"], func(u *url.URL) {
		u.User, u.RawQuery = url.User(p.loader), parameters
		if password != "" {
			u.User = url.UserPassword(p.loader, password)
		}
	})
}

// host sets the host of the connection string.
func (p *warehouseSite) host(name string) {
	p.Helper()
	p.vars["URL"] = replaced(p.site, p.vars["URL"], func(u *url.URL) { u.Host = name + ":" + u.Port() })
}

// certificate writes one, and its key, and returns the parameters that name them.
func (p *warehouseSite) certificate(signs func(string) (certificate, key []byte), cn string) string {
	p.Helper()
	certificate, key := signs(cn)
	return "&sslcert=" + p.write("client.crt", string(certificate)) + "&sslkey=" + p.write("client.key", string(key))
}

// TestEnvironmentsOfLogin are those in which PostgreSQL does not let the sink in, or the
// sink does not trust PostgreSQL.
func TestEnvironmentsOfLogin(t *testing.T) {
	t.Parallel()
	server := newGuarded(t)
	// member makes such an environment; the loader is a member of a role.
	member := func(of, name, says string, breaks, mends func(*warehouseSite)) environment {
		var p *warehouseSite
		return environment{
			name: name, says: says, config: warehouse, mended: warehouse,
			breaks: func(s *site) {
				p = newWarehouseAt(s, server.url)
				p.run("ALTER ROLE " + p.loader + " PASSWORD '" + rightPassword + "'")
				if of != "" {
					p.run("GRANT " + of + " TO " + p.loader)
				}
				p.dsn(rightPassword, "sslmode=require")
				breaks(p)
			},
			mends: func(*site) { mends(p) },
		}
	}
	unchanged := func(*warehouseSite) {}
	try(t, []environment{
		member("password", "a wrong password", "user or password of the dsn is wrong, or the password has expired; correct them",
			func(p *warehouseSite) { p.dsn("s3cr3t", "sslmode=require") },
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=require") }),
		member("password", "no password", "the server wants a password, and the dsn has none; write it there",
			func(p *warehouseSite) { p.dsn("", "sslmode=require") },
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=require") }),
		member("password", "a password that has expired", "user or password of the dsn is wrong, or the password has expired",
			func(p *warehouseSite) { p.run("ALTER ROLE " + p.loader + " VALID UNTIL '2020-01-01'") },
			func(p *warehouseSite) {
				p.runAdvised(`ALTER ROLE \S+ PASSWORD '…' VALID UNTIL 'infinity'`, rightPassword)
			}),
		member("password", "a role that may not log in", "the user of the dsn may not log in; run ALTER ROLE",
			func(p *warehouseSite) { p.run("ALTER ROLE " + p.loader + " NOLOGIN") },
			func(p *warehouseSite) { p.runAdvised(`ALTER ROLE \S+ LOGIN`) }),
		member("password", "a server that wants TLS", "database and address without encryption; write sslmode=require into the dsn",
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=disable") },
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=require") }),
		member("", "no line in pg_hba.conf", "no line of pg_hba.conf on the server is for this user, database and address; add the line",
			unchanged,
			func(p *warehouseSite) { p.admit() }),
		member("password", "a database that does not exist", "the database of the dsn does not exist; run CREATE DATABASE",
			func(p *warehouseSite) {
				p.vars["URL"] = replaced(p.site, p.vars["URL"], func(u *url.URL) { u.Path += "_new" })
			},
			func(p *warehouseSite) {
				p.runAdvised(`CREATE DATABASE "[^"]+" ENCODING 'UTF8' TEMPLATE template0`)
				name := pgx.Identifier{p.admin.Config().Database + "_new"}.Sanitize()
				p.Cleanup(func() { p.sqlAt(server.url, "DROP DATABASE "+name+" WITH (FORCE)") })
				p.run("ALTER DATABASE " + name + " OWNER TO " + p.loader)
			}),
		member("password", "an authority that is not known", "the certificate of the server is of an authority that is not known here; name a file",
			func(p *warehouseSite) { p.host("localhost"); p.dsn(rightPassword, "sslmode=verify-full") },
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=verify-full&sslrootcert="+server.root) }),
		member("password", "a host that is not in the certificate", "the certificate of the server is for another host; write localhost as host",
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=verify-full&sslrootcert="+server.root) },
			func(p *warehouseSite) { p.host("localhost") }),
		member("certificate", "no client certificate", "the server wants a client certificate; write sslcert and sslkey into the dsn",
			unchanged,
			func(p *warehouseSite) { p.dsn("", "sslmode=require"+p.certificate(server.signs, p.loader)) }),
		member("bare_password", "channel binding without TLS", "channel_binding=require needs TLS and SCRAM, which the server does not offer",
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=disable&channel_binding=require") },
			func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=disable&channel_binding=prefer") }),
	})
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		otherLogins(t, server)
	})
}

// otherLogins tries kinds of refused logins that differ from the others only in what is
// said: the destination alone is asked, broken and mended.
func otherLogins(t *testing.T, server guarded) {
	_, strange := newSigner(t, "another authority")
	_, namesake := newSigner(t, "an authority")
	const tls = "sslmode=require"
	for _, c := range []struct {
		name, member  string
		breaks, mends func(*warehouseSite)
		says          string
		waits         bool
	}{
		{
			name: "a line that rejects", member: "rejected",
			says:  "a line of pg_hba.conf on the server rejects this user, database and address; put the line host",
			mends: func(p *warehouseSite) { p.run("REVOKE rejected FROM " + p.loader + "; GRANT password TO " + p.loader) },
		}, {
			name: "a certificate for another user", member: "certificate",
			breaks: func(p *warehouseSite) { p.dsn("", tls+p.certificate(server.signs, "somebody")) },
			says:   "the certificate of sslcert is not for the user of the dsn; use one whose CN is",
			mends:  func(p *warehouseSite) { p.dsn("", tls+p.certificate(server.signs, p.loader)) },
		}, {
			name: "a certificate of an authority that the server does not know", member: "certificate",
			breaks: func(p *warehouseSite) { p.dsn("", tls+p.certificate(strange, p.loader)) },
			says:   "the server does not take the client certificate",
			mends:  func(p *warehouseSite) { p.dsn("", tls+p.certificate(server.signs, p.loader)) },
		}, {
			name: "a certificate of an earlier authority of the same name", member: "certificate",
			breaks: func(p *warehouseSite) { p.dsn("", tls+p.certificate(namesake, p.loader)) },
			says:   "the server does not take the client certificate",
			mends:  func(p *warehouseSite) { p.dsn("", tls+p.certificate(server.signs, p.loader)) },
		}, {
			name: "a file that is missing", member: "password",
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=verify-ca&sslrootcert="+p.dir+"/no-such.crt") },
			says:   "dsn: the file of sslrootcert, sslcert or sslkey cannot be read: open",
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=verify-ca&sslrootcert="+server.root) },
		}, {
			name: "a certificate without its key", member: "certificate",
			breaks: func(p *warehouseSite) {
				certificate, _, _ := strings.Cut(p.certificate(server.signs, p.loader), "&sslkey")
				p.dsn("", tls+certificate)
			},
			says:  "sslcert and sslkey are given together, or neither",
			mends: func(p *warehouseSite) { p.dsn("", tls+p.certificate(server.signs, p.loader)) },
		}, {
			name: "another kind of login", member: "password",
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, tls+"&require_auth=md5") },
			says:   "the server asks for another kind of login than require_auth of the dsn allows; take require_auth out",
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, tls) },
		}, {
			name: "a login without a secret, and one is wanted", member: `"nothing"`,
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, tls+"&require_auth=scram-sha-256") },
			says:   "the server asks for another kind of login than require_auth of the dsn allows; take require_auth out",
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, tls) },
		}, {
			name: "a certificate that the server does not use", member: "bare_password",
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=disable&sslcertmode=require") },
			says:   "the server has not asked for the client certificate, which sslcertmode=require wants; take sslcertmode out",
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, "sslmode=disable") },
		}, {
			name: "TLS at once", member: "password",
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, tls+"&sslnegotiation=direct") },
			says:   "the server cannot be reached; if it is older than PostgreSQL 17, take sslnegotiation=direct out of the dsn",
			waits:  true,
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, tls) },
		}, {
			name: "channel binding to a server that asks for no password", member: `"nothing"`,
			breaks: func(p *warehouseSite) { p.dsn(rightPassword, tls+"&channel_binding=require") },
			says:   "channel_binding=require needs TLS and SCRAM",
			mends:  func(p *warehouseSite) { p.dsn(rightPassword, tls+"&channel_binding=prefer") },
		}, {
			name: "a database that takes no connections", member: "password",
			breaks: func(p *warehouseSite) { p.sqlAt(server.url, "ALTER DATABASE "+p.database()+" ALLOW_CONNECTIONS false") },
			says:   "the database of the dsn takes no connections; run ALTER DATABASE",
			mends:  func(p *warehouseSite) { p.runAdvised(`ALTER DATABASE \S+ ALLOW_CONNECTIONS true`) },
		}, {
			name: "a user who does not exist", member: `"nothing"`,
			breaks: func(p *warehouseSite) {
				p.run("COPY (SELECT 'hostssl all newcomer all trust') TO PROGRAM 'cat >>pg_hba.conf'; SELECT pg_reload_conf()")
				p.loader = "newcomer"
				p.dsn("", tls)
			},
			says:  `the user of the dsn does not exist; name another one, or run CREATE ROLE "newcomer" LOGIN PASSWORD`,
			mends: func(p *warehouseSite) { p.runAdvised(`CREATE ROLE "newcomer" LOGIN PASSWORD '…'`, rightPassword) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &site{T: t, dir: t.TempDir(), vars: map[string]string{}}
			p := newWarehouseAt(s, server.url)
			p.run("ALTER ROLE " + p.loader + " PASSWORD '" + rightPassword + "'; GRANT " + c.member + " TO " + p.loader)
			p.dsn(rightPassword, tls)
			if c.breaks != nil {
				c.breaks(p)
			}
			err := p.reach()
			// With TLS 1.3 a server that refuses a certificate may close the connection
			// before the client has read why. The next try hears it, as run's does.
			for range 20 {
				if !c.waits && err != nil && strings.Contains(err.Error(), "connection reset by peer") {
					err = p.reach()
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || (fault.Of(err) != fault.ClassPermanent) != c.waits {
				t.Fatalf("%v (%v), want %q", err, fault.Of(err), c.says)
			}
			p.say = err.Error()
			c.mends(p)
			if err := p.reach(); err != nil {
				t.Errorf("when it is mended as advised: %v", err)
			}
		})
	}
}

// reach connects as the destination does.
func (p *warehouseSite) reach() error {
	return postgres.New(config.Postgres{DSN: config.Secret(p.vars["URL"]), Schema: "public", Table: "logs"}).Reach(p.Context())
}

func (p *warehouseSite) database() string {
	return pgx.Identifier{p.admin.Config().Database}.Sanitize()
}

// admit adds the line to pg_hba.conf that check advises, and does what else it says.
func (p *warehouseSite) admit() {
	p.Helper()
	found := regexp.MustCompile(`the line (host .*?)(?: to it| before that one), and run (SELECT pg_reload_conf\(\))`).FindStringSubmatch(p.say)
	if found == nil {
		p.Fatalf("no line for pg_hba.conf in: %s", p.say)
	}
	p.run("COPY (SELECT '" + found[1] + "') TO PROGRAM 'cat >>pg_hba.conf'; " + found[2])
}
