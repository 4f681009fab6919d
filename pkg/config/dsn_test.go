package config_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// readDSN returns the connection string of a configuration as it is used, or what is
// said of it.
func readDSN(t *testing.T, dsn string) (string, error) {
	t.Helper()
	pipelines, err := config.Parse("f.yaml", []byte(change(t, "      dsn: postgres://u:hunter2@h/d", "      dsn: ${DSN}")), env("DSN", dsn))
	if err != nil {
		return "", err
	}
	for _, s := range pipelines[0].Sinks {
		if s.Postgres != nil {
			return string(s.Postgres.DSN), nil
		}
	}
	t.Fatal("there is no PostgreSQL sink")
	return "", nil
}

func TestDSNKeysAreTranslated(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:p@h/d\n": "postgres://u:p@h/d",
		"postgres://u:p+%40@h/d?sslmode=no-verify&application_name=a+b":             "postgres://u:p+%40@h/d?sslmode=require&application_name=a%2Bb",
		"postgres://h/d?sslmode=no-verify&sslrootcert=/ca":                          "postgres://h/d?sslmode=require",
		"postgres://h/d?gssencmode=disable":                                         "postgres://h/d",
		"postgres://h/d?gssencmode=prefer&keepalives=1&keepalives_idle=9":           "postgres://h/d",
		"postgres://h/d?requiressl=1":                                               "postgres://h/d?sslmode=require",
		"postgres://h/d?requiressl=1&sslmode=verify-full":                           "postgres://h/d?sslmode=verify-full",
		"postgres://h/d?sslmode=disable&ssl=true":                                   "postgres://h/d?sslmode=require",
		"postgres://h/d?role=writer&pool_max_conns=9":                               "postgres://h/d?role=writer",
		"postgres://h/d?options=-cwork_mem=4MB":                                     "postgres://h/d?options=-cwork_mem%3D4MB",
		"host=h my.setting=1":                                                       "host=h my.setting=1",
		"postgres://h/d?ssl=true":                                                   "postgres://h/d?sslmode=require",
		"postgres://h/d?pgbouncer=true&sslrootcert=system":                          "postgres://h/d?sslrootcert=system&default_query_exec_mode=exec",
		"postgres://h/d?load_balance_hosts=disable&target_session_attrs=read-write": "postgres://h/d?target_session_attrs=read-write",
		"postgres://h/d?channel_binding=require&options=-c%20search_path%3Dx":       "postgres://h/d?channel_binding=require&options=-c%20search_path%3Dx",
		"postgres://h/d?fallback_application_name=x":                                "postgres://h/d?application_name=x",
		"postgres://h/d?my.setting=1&work_mem=4MB":                                  "postgres://h/d?my.setting=1&work_mem=4MB",
		`host=h password='a b\'c\\' gssencmode=disable`:                             `host='h' password='a b\'c\\'`,
		`host=h password=a\ b`:                                                      `host=h password=a\ b`,
		"postgres://u:p@%2Fvar%2Frun%2Fpostgresql:5433/d":                           "postgres://u:p@/d?host=%2Fvar%2Frun%2Fpostgresql&port=5433",
		"postgres://%2Ftmp/d?sslmode=disable":                                       "postgres:///d?host=%2Ftmp&sslmode=disable",
		"postgres:///d?host=/tmp&user=u":                                            "postgres:///d?host=/tmp&user=u",
		"postgresql://u@a:5432,b:5433/d?target_session_attrs=primary":               "postgresql://u@a:5432,b:5433/d?target_session_attrs=primary",
		"hostaddr=10.0.0.1 dbname=d":                                                "dbname='d' host='10.0.0.1'",
		"service=mine":                                                              "service=mine",
		"postgres://h/d?encoding=utf8&connect_timeout=5":                            "postgres://h/d?connect_timeout=5",
		"host=h requiressl=0 dbname=d\r\n":                                          "host='h' dbname='d'",
	} {
		if got, err := readDSN(t, dsn); err != nil || got != want {
			t.Errorf("%q is read as %q (%v), want %q", dsn, got, err, want)
		}
	}
}

func TestDSNKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for dsn, wants := range map[string][]string{
		"postgres://u:hunter2@h/d?schema=x&connection_limit=1&supa=base&workaround=y": {
			"schema: write schema: beside table", "connection_limit: is a key of another client's pool", "supa, workaround: not a key of PostgreSQL",
		},
		"postgres://h/d?gssencmode=require":        {"gssencmode: GSSAPI encryption is not supported"},
		"postgres://h/d?sslmode=verify_full":       {"sslmode must be disable, allow"},
		"postgres://h/d?load_balance_hosts=random": {"load_balance_hosts: hosts are tried in their order"},
		"postgres://h/d?target_session_attrs=standby&channel_binding=always&connect_timeout=soon": {
			"target_session_attrs must be any or read-write or primary: rows are written", "channel_binding must be disable or prefer or require", "connect_timeout must be a number",
		},
		"host=h port=54x32":                               {"port must be a number from 1 to 65535"},
		"jdbc:postgresql://h/d?user=u&password=hunter2":   {"begins with jdbc:postgresql://; write postgres:// instead"},
		"postgresql+psycopg2://u:hunter2@h/d":             {"begins with postgresql+psycopg2://; write postgres://"},
		"psql 'postgres://u:hunter2@h/d'":                 {"is a command of psql"},
		"postgres://h/d?pool=5&prepared_statements=false": {"pool: is a key of another client's pool", "prepared_statements: write default_query_exec_mode=exec"},
		"host=h sslcrl=/crl hostaddr=1.2.3.4":             {"sslcrl: revocation lists", "hostaddr: write the address as host"},
		"host=h password=abc hunter2=ghi":                 {"has a key after the password that is not one of PostgreSQL's"},
		"postgres://u:1?hunter2=x@h/d":                    {"is not a valid postgres:// URL"},
		"postgres://u:hun?ter2@h/d":                       {"is not a valid postgres:// URL"},
		"host=h password=hunter2 replication=1":           {"replication: ampipe writes rows"},
	} {
		_, err := readDSN(t, dsn)
		if err == nil {
			t.Errorf("%q is taken", dsn)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", dsn, err, want)
			}
		}
		if strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: the error shows the password: %v", dsn, err)
		}
	}
}

// TestEveryKeyOfLibpqIsDecided has the keys of libpq's documentation (34.1.2, of
// PostgreSQL 18): none is unknown, and a server never gets one as a setting.
func TestEveryKeyOfLibpqIsDecided(t *testing.T) {
	t.Parallel()
	for _, key := range strings.Fields(`host hostaddr port dbname user password passfile require_auth channel_binding
connect_timeout client_encoding options application_name fallback_application_name keepalives keepalives_idle
keepalives_interval keepalives_count tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation
sslcompression sslcert sslkey sslkeylogfile sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer
ssl_min_protocol_version ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib
gssdelegation scram_client_key scram_server_key service servicefile target_session_attrs load_balance_hosts
oauth_issuer oauth_client_id oauth_client_secret oauth_scope`) {
		_, err := readDSN(t, "host=h "+key+"=zzz")
		if err != nil && (!strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "not a key of PostgreSQL")) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
