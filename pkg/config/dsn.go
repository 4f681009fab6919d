package config

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// The texts below never quote the connection string: it holds a password.
var (
	errDSN = errors.New(`is not a connection string; write postgres://user:password@host:5432/database or "host=… user=… dbname=…"`)
	errURL = errors.New(`is not a valid postgres:// URL; write special characters of the password as %XX, for example "@" as %40`)
	errKey = errors.New(`is not a valid connection string; write "key=value key=value" and values with spaces as 'in quotes'`)

	// A quoted value may escape its quote; a bare one ends at a space.
	pairForm = regexp.MustCompile(`^\s*[A-Za-z_]+\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|$)`)
)

// checkDSN tells whether a PostgreSQL connection string has the form of one,
// as libpq defines it. What the values mean is for the driver to say.
func checkDSN(dsn string) error {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(dsn, scheme); ok {
			return checkDSNURL(rest)
		}
	}
	if !strings.Contains(dsn, "=") || strings.Contains(dsn, "://") {
		return errDSN
	}
	for rest := dsn; strings.TrimSpace(rest) != ""; {
		m := pairForm.FindString(rest)
		if m == "" {
			return errKey
		}
		rest = rest[len(m):]
	}
	return nil
}

// checkDSNURL checks what follows "postgres://". It is not url.Parse's job:
// libpq allows several hosts, "a:5432,b:5432".
func checkDSNURL(rest string) error {
	rest, query, _ := strings.Cut(rest, "?")
	if _, err := url.ParseQuery(query); err != nil {
		return errURL
	}
	authority, path, _ := strings.Cut(rest, "/")
	if _, err := url.PathUnescape(path); err != nil || strings.Contains(path, "@") {
		return errURL // an "@" so late means a "/" in the password
	}
	user, hosts, found := strings.Cut(authority, "@")
	if !found {
		user, hosts = "", authority
	}
	if _, err := url.PathUnescape(user); err != nil || strings.Contains(hosts, "@") || strings.Contains(user, " ") {
		return errURL
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if bracket := strings.LastIndex(host, "]"); bracket >= 0 {
			host = host[bracket+1:]
		}
		_, port, has := strings.Cut(host, ":")
		if n, err := strconv.Atoi(port); has && (err != nil || n < 1 || n > 65535) {
			return errURL
		}
	}
	return nil
}
