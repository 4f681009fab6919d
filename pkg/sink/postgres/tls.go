package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ofTLS returns what to do if the server has no TLS though it is asked for, or if it
// showed no certificate that is good enough, else "". For the former the driver has only
// a text.
func ofTLS(err error) string {
	if strings.Contains(err.Error(), "server refused TLS connection") {
		if c, ok := errors.AsType[*pgconn.ConnectError](err); ok && mayBePlain(c.Config) {
			return ""
		}
		return "the server has no TLS; switch it on there, or write sslmode=disable into the dsn"
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return otherHost(wrong)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate of the server is of an authority that is not known here; " +
			"name a file with that authority as sslrootcert in the dsn, " +
			"or write sslmode=require without sslrootcert, which does not look at it"
	}
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	if verification || invalid {
		return "the certificate of the server does not hold; " +
			"replace it there, or write sslmode=require without sslrootcert into the dsn, which does not look at it"
	}
	return ""
}

// otherHost returns which hosts a certificate is for. One that has its host in the CN alone is
// for none.
func otherHost(err x509.HostnameError) string {
	const wrong = "the certificate of the server is for another host; "
	names := slices.Clone(err.Certificate.DNSNames)
	for _, ip := range err.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return wrong + "it has no subjectAltName: make one with it, or write sslmode=verify-ca into the dsn"
	}
	return wrong + fmt.Sprintf("write %s as host, or sslmode=verify-ca into the dsn", cut(strings.Join(names, " or ")))
}

// mayBePlain reports whether a connection without TLS would do.
func mayBePlain(c *pgconn.Config) bool {
	return c.TLSConfig == nil || slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}
