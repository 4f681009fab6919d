package postgres

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
)

// loginAdvices are for what a server says when it lets a user not in, by a part of its
// message: one SQLSTATE stands for many reasons. A server that speaks another language
// gets the advice of the SQLSTATE.
var loginAdvices = []struct {
	code, part string
	text       func(login) string
}{
	{"28P01", "", login.ofPassword},
	{"28000", "is not permitted to log in", func(l login) string {
		return fmt.Sprintf("the user of the dsn may not log in; run ALTER ROLE %s LOGIN", quoted(l.User))
	}},
	{"28000", "does not exist", func(l login) string {
		return fmt.Sprintf("the user of the dsn does not exist; name another one, or run CREATE ROLE %s LOGIN PASSWORD '…'", quoted(l.User))
	}},
	{"28000", "no pg_hba.conf entry", func(l login) string {
		return l.ofHBA("no line of pg_hba.conf on the server is for this user, database and address", "add the line %s to it")
	}},
	{"28000", "pg_hba.conf rejects", func(l login) string {
		return l.ofHBA("a line of pg_hba.conf on the server rejects this user, database and address", "put the line %s before that one")
	}},
	{"28000", "SSL connection is required", func(login) string { return ofPlain }},
	{"28000", "requires a valid client certificate", func(l login) string {
		if l.TLSConfig != nil && len(l.TLSConfig.Certificates) > 0 {
			return ofCertificate // it is not sent if the server has not named its authority
		}
		return "the server wants a client certificate; write sslcert and sslkey into the dsn"
	}},
	{"28000", "certificate authentication failed", func(l login) string {
		return fmt.Sprintf("the certificate of sslcert is not for the user of the dsn; use one whose CN is %s, or map its CN in "+
			"pg_ident.conf on the server", l.User)
	}},
	{"28000", "Peer authentication failed", login.ofPeer},
	{"28000", "Ident authentication failed", login.ofPeer},
	{"3D000", "", func(l login) string {
		return fmt.Sprintf("the database of the dsn does not exist; run CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0, "+
			"or name another one", quoted(l.Database))
	}},
	{"55000", "not currently accepting connections", func(l login) string {
		return fmt.Sprintf("the database of the dsn takes no connections; run ALTER DATABASE %s ALLOW_CONNECTIONS true", quoted(l.Database))
	}},
	{"55000", "cannot connect to invalid database", func(l login) string {
		return fmt.Sprintf("the database of the dsn was dropped halfway; run DROP DATABASE %s, and create it again", quoted(l.Database))
	}},
}

const ofCertificate = "the server does not take the client certificate; " +
	"write as sslcert and sslkey one that is valid, of an authority in ssl_ca_file of the server"

// ofPlain is for servers that take no connection without TLS.
const ofPlain = "the server lets nobody in without encryption; write sslmode=require into the dsn"

// clientAdvices are for what the driver refuses, by a part of its message: it has no
// codes. What refuses so once always does.
var clientAdvices = []struct{ part, text string }{
	{"channel binding required", "channel_binding=require needs TLS and SCRAM, which the server does not offer; " +
		"write channel_binding=prefer into the dsn"},
	{"require_auth check failed", "the server asks for another kind of login than require_auth of the dsn allows; " +
		"take require_auth out, or change the method in pg_hba.conf on the server"},
	{"sslcertmode check failed", "the server has not asked for the client certificate, which sslcertmode=require wants; " +
		"take sslcertmode out of the dsn"},
	{"no GSSAPI provider", ofMethod},
	{"unknown authentication", ofMethod},
	{"is unimplemented", ofMethod}, // SSPI
	{"does not support SCRAM-SHA-256", ofMethod},
}

const ofMethod = "the server asks for a kind of login that ampipe does not have; " +
	"have pg_hba.conf on the server ask this user for scram-sha-256, or for a certificate"

// certificateAlerts are the words of TLS with which a server refuses a certificate.
var certificateAlerts = []string{
	"unknown certificate authority", "bad certificate", "unsupported certificate", "revoked certificate",
	"expired certificate", "unknown certificate", "certificate required",
	"error decrypting message", // signed by another authority of the same name
}

// login is a connection that was refused while it was made.
type login struct {
	*pgconn.Config
	message string // of the server
}

// loginOf returns what an error of making a connection is about.
func loginOf(err error) (login, bool) {
	c, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return login{}, false
	}
	return login{Config: c.Config}, true
}

// loginAdvice returns what a refusal to let a user in means, and whether that is known.
func loginAdvice(err error, pg *pgconn.PgError) (advice, bool) {
	l, ok := loginOf(err)
	if !ok {
		return advice{}, false
	}
	l.message = pg.Message
	for _, a := range loginAdvices {
		if a.code == pg.Code && strings.Contains(pg.Message, a.part) {
			return advice{fault.ClassPermanent, keep, a.text(l)}, true
		}
	}
	return advice{}, false
}

// ofPassword is said of a wrong password, of none, and of one that has expired: to a client
// PostgreSQL does not say which.
func (l login) ofPassword() string {
	if l.Password == "" {
		return "the server wants a password, and the dsn has none; write it there, or name a passfile that has it"
	}
	return fmt.Sprintf("user or password of the dsn is wrong, or the password has expired; "+
		"correct them, with special characters of the password as %%XX in a URL, or run ALTER ROLE %s PASSWORD '…' VALID "+
		"UNTIL 'infinity'", quoted(l.User))
}

// ofPeer is said if the server looks at the user of the operating system.
func (l login) ofPeer() string {
	return fmt.Sprintf("pg_hba.conf on the server wants a user of the operating system who is called %s; "+
		"write the address of the server as host and a password into the dsn, or have it ask for scram-sha-256", l.User)
}

// unlisted is what PostgreSQL says of an address that pg_hba.conf has no line for.
var unlisted = regexp.MustCompile(`host "([^"]+)"`)

// ofHBA is said if pg_hba.conf is in the way: why, and how the line that mends it is added.
func (l login) ofHBA(why, add string) string {
	if strings.Contains(l.message, "no encryption") || strings.Contains(l.message, "SSL off") {
		why += " without encryption"
		if l.plain() {
			return why + "; write sslmode=require into the dsn"
		}
	}
	kind, address := "local", ""
	if m := unlisted.FindStringSubmatch(l.message); m != nil && m[1] != "[local]" {
		kind, address = "host", " "+m[1]+"/32"
		if ip, err := netip.ParseAddr(m[1]); err == nil && ip.Is6() {
			address = " " + m[1] + "/128"
		}
	}
	line := fmt.Sprintf("%s %s %s%s scram-sha-256", kind, quoted(l.Database), quoted(l.User), address)
	return why + "; " + fmt.Sprintf(add, line) + ", and run SELECT pg_reload_conf()"
}

// plain reports whether the dsn forbids TLS.
func (l login) plain() bool {
	return l.TLSConfig == nil && !slices.ContainsFunc(l.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig != nil })
}

// clientAdvice returns what to do if the driver has broken off a login, else "".
func clientAdvice(err error) string {
	if _, ok := loginOf(err); !ok {
		return ""
	}
	text := err.Error()
	for _, a := range clientAdvices {
		if strings.Contains(text, a.part) {
			return a.text
		}
	}
	_, alert, _ := strings.Cut(text, "remote error: tls: ")
	for _, words := range certificateAlerts {
		if strings.HasPrefix(alert, words) {
			return ofCertificate
		}
	}
	return ""
}
