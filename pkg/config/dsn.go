package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// The texts below never quote the connection string: it holds a password.
var (
	errDSN   = errors.New(`is not a connection string; write postgres://user:password@host:5432/database or "host=… user=… dbname=…"`)
	errPsql  = errors.New("is a command of psql; take the connection string out of it, without its quotes")
	errURL   = errors.New(`is not a valid postgres:// URL; write special characters of the password as %XX, for example "@" as %40`)
	errQuote = errors.New(`has a key after the password that is not one of PostgreSQL's; write a password with spaces as password='in quotes'`)
	errKey   = errors.New(`is not a valid connection string; write "key=value key=value" and values with spaces as 'in quotes'`)

	// A quoted value may escape its quote; a bare one ends at a space.
	pairForm = regexp.MustCompile(`^\s*([A-Za-z_][\w.]*)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|$)`)

	// What does not look like a key may be a part of a password.
	keyForm = regexp.MustCompile(`^[A-Za-z_][\w.]{0,50}$`)

	// The schemes of other clients, such as jdbc:postgresql and postgresql+psycopg2.
	schemeForm = regexp.MustCompile(`^(?i:jdbc:)?(?i:postgres|postgresql)(?:\+\w+)?$`)

	unescaped = regexp.MustCompile(`\\(.)`)
)

// readDSN checks the form of a PostgreSQL connection string, as libpq defines it, and
// its keys, and returns it as the driver understands it. What the values mean, beyond
// those of the keys that the driver does not know, is for the driver to say.
func readDSN(dsn string) (string, error) {
	dsn = strings.TrimSpace(dsn) // of a file, it ends with a line feed
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(dsn, scheme); ok {
			return readDSNURL(scheme, rest)
		}
	}
	switch scheme, _, found := strings.Cut(dsn, "://"); {
	case strings.HasPrefix(dsn, "psql "):
		return "", errPsql
	case found && schemeForm.MatchString(scheme):
		return "", fmt.Errorf("begins with %s://; write postgres:// instead", scheme)
	case found || !strings.Contains(dsn, "="):
		return "", errDSN
	}
	keys := dsnKeys{values: map[string]string{}, pairs: true}
	for rest := dsn; strings.TrimSpace(rest) != ""; {
		m := pairForm.FindStringSubmatch(rest)
		if m == nil {
			return "", errKey
		}
		rest = rest[len(m[0]):]
		value := m[2]
		if len(value) > 1 && value[0] == '\'' {
			value = value[1 : len(value)-1]
		}
		keys.set(m[1], unescaped.ReplaceAllString(value, "$1"))
	}
	changed, err := keys.translate()
	if err != nil || !changed {
		return dsn, err
	}
	pairs := make([]string, len(keys.order))
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for i, key := range keys.order {
		pairs[i] = key + "='" + escape.Replace(keys.values[key]) + "'"
	}
	return strings.Join(pairs, " "), nil
}

// readDSNURL reads what follows "postgres://". It is not url.Parse's job: libpq allows
// several hosts, "a:5432,b:5432".
func readDSNURL(scheme, rest string) (string, error) {
	whole := scheme + rest
	rest, query, _ := strings.Cut(rest, "?")
	if err := checkAuthority(rest); err != nil {
		return "", err
	}
	if strings.Contains(query, "@") {
		return "", errURL // the "?" was one of the password
	}
	keys, encode := dsnKeys{values: map[string]string{}}, false
	if authority, host, port := socketOf(rest); host != "" {
		rest, encode = authority, true
		keys.set("host", host)
		if port != "" {
			keys.set("port", port)
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		encode = encode || strings.Contains(value, "=") // the driver refuses another one
		// As libpq has it: a plus sign is one.
		key, err1 := url.PathUnescape(key)
		value, err2 := url.PathUnescape(value)
		if !found || err1 != nil || err2 != nil || !keyForm.MatchString(key) {
			return "", errURL
		}
		keys.set(key, value)
	}
	changed, err := keys.translate()
	if err != nil || (!changed && !encode) {
		return whole, err
	}
	pairs := make([]string, len(keys.order))
	for i, key := range keys.order {
		pairs[i] = key + "=" + strings.ReplaceAll(url.QueryEscape(keys.values[key]), "+", "%20")
	}
	if len(pairs) == 0 {
		return scheme + rest, nil
	}
	return scheme + rest + "?" + strings.Join(pairs, "&"), nil
}

// socketOf returns what is left of the authority of a URL without the folder of a socket
// that is its host, written with %2F, which the driver does not read there.
func socketOf(rest string) (without, host, port string) {
	authority, path, _ := strings.Cut(rest, "/")
	user, hosts, found := strings.Cut(authority, "@")
	if !found {
		user, hosts = "", authority
	}
	name, port, _ := strings.Cut(hosts, ":")
	host, err := url.PathUnescape(name)
	if err != nil || !strings.HasPrefix(host, "/") {
		return rest, "", ""
	}
	if found {
		user += "@"
	}
	return user + "/" + path, host, port
}

// checkAuthority checks user, hosts and database.
func checkAuthority(rest string) error {
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
