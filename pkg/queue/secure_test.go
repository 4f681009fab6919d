package queue_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// TestSecureConnection works on a server that wants a client certificate and
// credentials: with everything, and with each thing missing.
func TestSecureConnection(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pki := newAuthority(t, dir)
	serverCert := pki.issue(t, "server")
	pki.issue(t, "client")
	claims, creds := operatorMode(t, dir)

	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "store"),
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{serverCert},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pki.pool, MinVersion: tls.VersionTLS12,
		},
	}
	claims.apply(opts)
	s := queuetest.Start(t, opts)
	whole := queue.Config{
		URL: s.ClientURL(), Creds: creds,
		TLS: queue.TLS{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")},
	}
	conn := mustOpen(t, whole)
	log := mustLog(t, conn, 64<<20)
	mustPublish(t, log, "p.0.0", 0, "a", group(0, 3, 100))
	consumer := mustConsume(t, log, queue.ConsumeOptions{}) // a connection of its own
	defer consumer.Close()
	if m := mustNext(t, consumer); m.Entry.Range != block.Closed(0, 3) {
		t.Errorf("read %v", m.Entry.Range)
	}

	for name, change := range map[string]func(*queue.Config){
		"no authority":          func(c *queue.Config) { c.TLS.CA = "" },
		"no client certificate": func(c *queue.Config) { c.TLS.Cert, c.TLS.Key = "", "" },
		"no credentials":        func(c *queue.Config) { c.Creds = "" },
		"missing credentials":   func(c *queue.Config) { c.Creds = filepath.Join(dir, "nope.creds") },
	} {
		cfg := whole
		change(&cfg)
		c, err := queue.Open(testContext(t), cfg)
		if err == nil {
			c.Close()
			t.Errorf("%s: connected", name)
		} else if fault.Of(err) == fault.ClassAgain {
			t.Errorf("%s: %v is not classed", name, err)
		}
	}
}

// authority signs certificates into a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{dir: dir, key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

// issue writes NAME.pem and NAME.key, for 127.0.0.1.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", private)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// operator is what a server knows of its users: an operator it trusts, and an
// account that may use JetStream.
type operator struct {
	claims   *jwt.OperatorClaims
	system   string            // the account without which there is no JetStream
	accounts map[string]string // id -> token
}

// operatorMode makes an operator, an account and a user, whose credentials file
// it returns.
func operatorMode(t *testing.T, dir string) (operator, string) {
	t.Helper()
	keys := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		pair, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return pair, public
	}
	token := func(text string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operatorKey, operatorID := keys(nkeys.CreateOperator)
	accountKey, accountID := keys(nkeys.CreateAccount)
	_, systemID := keys(nkeys.CreateAccount)
	userKey, userID := keys(nkeys.CreateUser)

	account := jwt.NewAccountClaims(accountID)
	account.Limits.JetStreamLimits.DiskStorage = -1
	account.Limits.JetStreamLimits.MemoryStorage = -1
	user := jwt.NewUserClaims(userID)

	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	config, err := jwt.FormatUserConfig(token(user.Encode(accountKey)), seed)
	if err != nil {
		t.Fatal(err)
	}
	creds := filepath.Join(dir, "user.creds")
	if err := os.WriteFile(creds, config, 0o600); err != nil {
		t.Fatal(err)
	}
	op := jwt.NewOperatorClaims(operatorID)
	claims, err := jwt.DecodeOperatorClaims(token(op.Encode(operatorKey)))
	if err != nil {
		t.Fatal(err)
	}
	return operator{claims: claims, system: systemID, accounts: map[string]string{
		accountID: token(account.Encode(operatorKey)),
		systemID:  token(jwt.NewAccountClaims(systemID).Encode(operatorKey)),
	}}, creds
}

func (o operator) apply(opts *server.Options) {
	resolver := &server.MemAccResolver{}
	for id, token := range o.accounts {
		_ = resolver.Store(id, token) // it keeps them in a map
	}
	opts.SystemAccount = o.system
	opts.TrustedOperators = []*jwt.OperatorClaims{o.claims}
	opts.AccountResolver = resolver
}
