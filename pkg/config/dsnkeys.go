package config

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// dsnKeys are the keys of a PostgreSQL connection string.
type dsnKeys struct {
	order  []string
	values map[string]string
	pairs  bool // written as "key=value", where a password that is not quoted ends at a space
}

func (k *dsnKeys) set(key, value string) {
	if _, ok := k.values[key]; !ok {
		k.order = append(k.order, key)
	}
	k.values[key] = value // the last one counts, as in libpq
}

func (k *dsnKeys) drop(key string) {
	delete(k.values, key)
	k.order = slices.DeleteFunc(k.order, func(other string) bool { return other == key })
}

// replace sets a key in the place of another, unless it is given.
func (k *dsnKeys) replace(key, by, value string) {
	k.drop(key)
	if _, ok := k.values[by]; !ok {
		k.set(by, value)
	}
}

// encrypt replaces a key that asks for TLS, unless sslmode asks for more.
func (k *dsnKeys) encrypt(key string) {
	k.drop(key)
	switch k.values["sslmode"] {
	case "", "disable", "allow", "prefer":
		k.set("sslmode", "require")
	}
}

// translate makes the keys those that the driver knows, and reports whether it had to.
// The driver passes on to the server what it does not know, and the server refuses the
// connection because of the first one: so all that are not understood are named here.
func (k *dsnKeys) translate() (changed bool, err error) {
	var problems, unknown []string
	order := slices.Clone(k.order)
	for i, key := range order {
		value := k.values[key]
		if key == "sslmode" {
			switch value {
			case "", "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
			case "no-verify": // of node-postgres: encrypted, and the certificate is not looked at
				changed = true
				k.set(key, "require")
				k.drop("sslrootcert") // with one, require looks at it
			default:
				problems = append(problems, "sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
			}
			continue
		}
		if advice := valueAdvice(key, value); advice != "" {
			problems = append(problems, key+" "+advice)
			continue
		}
		if slices.Contains(driverKeys, key) || slices.Contains(serverSettings(), strings.ToLower(key)) || strings.Contains(key, ".") {
			continue
		}
		rule, ok := dsnRules[key]
		switch advice := adviceFor(key, dsnRefused); {
		case advice != "":
			problems = append(problems, key+": "+advice)
			continue
		case slices.Contains(dsnDropped, key):
			rule, ok = dropped, true
		}
		if !ok {
			if k.pairs && slices.Contains(order[:i], "password") {
				return false, errQuote // it may be a part of it
			}
			unknown = append(unknown, key)
			continue
		}
		advice := rule(k, key, strings.ToLower(value))
		if advice != "" {
			problems = append(problems, key+": "+advice)
		}
		changed = true
	}
	if len(unknown) > 0 {
		problems = append(problems, strings.Join(unknown, ", ")+
			": not a key of PostgreSQL; take it out, or write a setting of the server as options=-cNAME=VALUE")
	}
	if len(problems) > 0 {
		return false, errors.New("has keys that cannot be used: " + strings.Join(problems, "; "))
	}
	return changed, nil
}

// SessionSettings checks what the driver would pass on to the server as settings of a
// session, where they come from a service file, which is not read before, and removes
// what is not one.
func SessionSettings(settings map[string]string) error {
	keys := dsnKeys{values: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		keys.set(key, settings[key])
	}
	if _, err := keys.translate(); err != nil {
		return err
	}
	for _, key := range keys.order {
		if _, given := settings[key]; !given && key != "application_name" {
			return fmt.Errorf("has a key that has to be written as %s=%s there", key, keys.values[key])
		}
	}
	clear(settings)
	maps.Copy(settings, keys.values)
	return nil
}

// driverKeys are those that the driver understands as libpq does, and its own.
var driverKeys = []string{
	"host", "port", "dbname", "database", "user", "password", "passfile", "service", "servicefile",
	"connect_timeout", "target_session_attrs", "application_name", "options", "client_encoding",
	"sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword", "sslsni",
	"min_protocol_version", "max_protocol_version", "channel_binding", "require_auth", "krbspn", "krbsrvname",
	"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

// driverValues are the values that the keys of the driver can have; it refuses others.
var driverValues = map[string][]string{
	"channel_binding":         {"disable", "prefer", "require"},
	"sslnegotiation":          {"postgres", "direct"},
	"sslcertmode":             {"disable", "allow", "require"},
	"sslsni":                  {"0", "1"},
	"min_protocol_version":    {"3.0", "3.2", "latest"},
	"max_protocol_version":    {"3.0", "3.2", "latest"},
	"default_query_exec_mode": {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
	// Those of libpq that lead to a server that takes no writes are left out.
	"target_session_attrs": {"any", "read-write", "primary"},
}

// valueAdvice returns what to write instead of a value that the driver refuses.
func valueAdvice(key, value string) string {
	if values, ok := driverValues[key]; ok && value != "" && !slices.Contains(values, value) {
		advice := "must be " + strings.Join(values, " or ")
		if key == "target_session_attrs" {
			advice += ": rows are written"
		}
		return advice
	}
	switch key {
	case "connect_timeout", "statement_cache_capacity", "description_cache_capacity":
		if n, err := strconv.Atoi(value); value != "" && (err != nil || n < 0) {
			return "must be a number, 0 or more"
		}
	case "port":
		for port := range strings.SplitSeq(value, ",") {
			if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
				return "must be a number from 1 to 65535, or one for each host"
			}
		}
	}
	return ""
}

// dsnRule is what becomes of a key that the driver does not know: it is translated or
// dropped, or an advice is returned.
type dsnRule func(k *dsnKeys, key, value string) (advice string)

// dropped is for what changes nothing, or what ampipe does in any case.
func dropped(k *dsnKeys, key, _ string) string {
	k.drop(key)
	return ""
}

// droppedIf is for a key with which only these values can be had.
func droppedIf(advice string, values ...string) dsnRule {
	return func(k *dsnKeys, key, value string) string {
		if value != "" && !slices.Contains(values, value) {
			return advice
		}
		k.drop(key)
		return ""
	}
}

// dsnDropped are keys that change nothing: they are about a pool, which ampipe sizes itself,
// or about probing a silent connection, which is done in any case and more often.
var dsnDropped = strings.Fields(`
gsslib keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout uselibpqcompat
pool_max_conns pool_min_conns pool_min_idle_conns pool_max_conn_lifetime pool_max_conn_idle_time
pool_health_check_period pool_max_conn_lifetime_jitter pool_ping_timeout
`)

// dsnRefused are keys that would change something and are not supported, by what to do.
var dsnRefused = map[string]string{
	"is not supported; take it out":    "requirepeer sslkeylogfile",
	"is not supported; use a password": "scram_client_key scram_server_key",
	"OAuth is not supported; use a password or a client certificate": "oauth_issuer oauth_client_id " +
		"oauth_client_secret oauth_scope",
	"write schema: beside table: instead": "schema currentSchema",
	"is a key of another client's pool; take it out: writers says how many connections are used": "connection_limit pool_timeout " +
		"pool_size max_pool_size pool poolclass max_overflow conn_max_age",
	"is a key of Prisma; write sslmode=verify-full or sslmode=require": "sslaccept",
	"is a key of Prisma; write sslcert and sslkey":                     "sslidentity",
	"write default_query_exec_mode=exec for what 0 means": "statement_cache_size prepareThreshold " +
		"prepared_statement_cache_size",
	"is not needed: the server ends what takes too long; take it out": "socket_timeout",
	"is a key of JDBC; take it out": "socketTimeout loginTimeout tcpKeepAlive sslfactory " +
		"stringtype reWriteBatchedInserts preferQueryMode",
	"is a key of JDBC; write target_session_attrs":            "targetServerType",
	"write default_query_exec_mode=exec for what false means": "prepared_statements",
	"is a key of JDBC; write application_name":                "ApplicationName",
}

// dsnRules has the other keys of libpq's documentation, and those that are in the
// connection strings that providers and other clients hand out.
var dsnRules = map[string]dsnRule{
	"fallback_application_name": func(k *dsnKeys, key, _ string) string {
		k.replace(key, "application_name", k.values[key])
		return ""
	},
	"hostaddr": func(k *dsnKeys, key, value string) string {
		if _, given := k.values["host"]; given || !k.pairs {
			return "write the address as host"
		}
		k.replace(key, "host", value)
		return ""
	},
	"requiressl": func(k *dsnKeys, key, value string) string {
		if value != "1" {
			return dropped(k, key, value)
		}
		k.encrypt(key)
		return ""
	},
	"ssl": func(k *dsnKeys, key, value string) string {
		switch value {
		case "", "true", "1":
			k.encrypt(key)
		case "false", "0":
			k.replace(key, "sslmode", "disable")
		default:
			return "write sslmode=require or sslmode=disable"
		}
		return ""
	},
	// Of Prisma and its relatives: no prepared statement outlives a transaction.
	"pgbouncer": func(k *dsnKeys, key, value string) string {
		if value != "true" && value != "1" {
			return dropped(k, key, value)
		}
		k.replace(key, "default_query_exec_mode", "exec")
		return ""
	},
	"replication":    droppedIf("ampipe writes rows; take it out", "false", "off", "no", "0"),
	"gssencmode":     droppedIf("GSSAPI encryption is not supported; write gssencmode=disable and an sslmode", "disable", "prefer"),
	"gssdelegation":  droppedIf("is not supported; take it out", "0"),
	"sslcompression": droppedIf("is not supported; take it out", "0"),
	"sslcrl":         droppedIf("revocation lists are not read; take it out"),
	"sslcrldir":      droppedIf("revocation lists are not read; take it out"),
	"ssl_min_protocol_version": droppedIf("1.2 is the least that is used; set ssl_min_protocol_version on the server for more",
		"tlsv1", "tlsv1.1", "tlsv1.2"),
	"ssl_max_protocol_version": droppedIf("set ssl_max_protocol_version on the server", "tlsv1.3"),
	"load_balance_hosts":       droppedIf("hosts are tried in their order; write one host, or take it out", "disable"),
	"encoding":                 droppedIf("is not needed: text is sent as UTF8; take it out", "utf8", "utf-8", "unicode"),
}

// serverSettings returns the settings that a session may have from its beginning, as
// PostgreSQL 12 to 18 list them (pg_settings with the contexts user, superuser,
// backend and superuser-backend), and those that they do not list, in lower case.
func serverSettings() []string { return strings.Fields(settingsText) }

//go:embed serversettings.txt
var settingsText string
