package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// redisURL is the address of Redis, as it is read. Complaints never quote a value: it may
// be a secret.
type redisURL struct {
	sentinel, cluster bool // what the configuration says
	complaints        []string
}

// complain returns no address.
func (r *redisURL) complain(format string, args ...any) string {
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
	return ""
}

// redisSchemes are those that are understood: ours, and those of other programs.
var redisSchemes = map[string]string{
	"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss",
	"redis-socket": "unix", "redis+socket": "unix", "redis+unix": "unix", "valkey+unix": "unix",
	"redis+tls": "rediss", "redis+ssl": "rediss", "tls": "rediss", "tcp": "redis",
}

// redisAdvices are for schemes of other programs that are not understood.
var redisAdvices = map[string]string{
	"redis-sentinel":  "is of a Sentinel; write redis://host:26379?addr=host2:26379, and the name of the master as sentinel",
	"redis+sentinel":  "is of a Sentinel; write redis://host:26379?addr=host2:26379, and the name of the master as sentinel",
	"rediss-sentinel": "is of a Sentinel; write rediss://host:26379?addr=host2:26379, and the name of the master as sentinel",
	"rediss+sentinel": "is of a Sentinel; write rediss://host:26379?addr=host2:26379, and the name of the master as sentinel",
	"redis-cluster":   "is of a Redis Cluster; write redis://host:6379?addr=host2:6379 and cluster: true",
	"redis+cluster":   "is of a Redis Cluster; write redis://host:6379?addr=host2:6379 and cluster: true",
	"rediss-cluster":  "is of a Redis Cluster; write rediss://host:6379?addr=host2:6379 and cluster: true",
	"rediss+cluster":  "is of a Redis Cluster; write rediss://host:6379?addr=host2:6379 and cluster: true",
}

const (
	redisForm    = "write redis://user:password@host:6379/0 with special characters of the password as %XX"
	redisSchemed = "must begin with redis:// (plain), rediss:// (TLS) or unix:// (a socket)"
)

// read checks an address, and returns it as the driver understands it.
func (r *redisURL) read(text string) string {
	text = strings.TrimSpace(text) // of a file, it ends with a line feed
	scheme, rest, found := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	known := redisSchemes[scheme]
	switch {
	case !found && strings.Contains(text, ",password="):
		return r.complain("is a connection string of StackExchange.Redis; %s, and rediss:// for ssl=True", redisForm)
	case found && redisAdvices[scheme] != "":
		return r.complain("%s", redisAdvices[scheme])
	case found && known == "" && strings.HasPrefix(scheme, "http"):
		return r.complain(redisSchemed + "; the web address of a provider is another one than that of its Redis")
	case !found || known == "":
		return r.complain(redisSchemed)
	case strings.ContainsFunc(rest, unicode.IsControl):
		return r.complain("holds a line feed or another control character; take it out")
	}
	if several(rest) {
		return r.complain("names several hosts; write redis://host:port?addr=host2:port&addr=host3:port, and sentinel or cluster")
	}
	u, err := url.Parse(known + "://" + rest)
	if err != nil || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return r.complain("is not a URL; %s", redisForm)
	}
	r.readHost(u)
	r.readUser(u)
	number := r.readDatabase(u)
	r.readParameters(u, number)
	return u.String()
}

// several reports whether an authority names more than one host.
func several(rest string) bool {
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	return strings.Contains(authority[strings.LastIndex(authority, "@")+1:], ",")
}

func (r *redisURL) readHost(u *url.URL) {
	switch {
	case u.Scheme == "unix" && (r.sentinel || r.cluster):
		r.complain("names a socket, and a Sentinel or a Cluster has none; write redis://host:port")
	case u.Scheme == "unix" && (u.Path == "" || u.Host != ""):
		r.complain("names no socket; write unix:///path/to/redis.sock")
	case u.Scheme == "unix":
	case u.Hostname() == "":
		r.complain("names no host; write %s://host:6379/0", u.Scheme)
	case u.Port() != "":
		if n, err := strconv.Atoi(u.Port()); err != nil || n < 1 || n > 65535 {
			r.complain("names a port that cannot be; write one from 1 to 65535")
		}
	}
}

// readUser refuses a user without a password: the driver would not log in at all.
func (r *redisURL) readUser(u *url.URL) {
	if u.User == nil {
		return
	}
	if password, _ := u.User.Password(); password == "" && u.User.Username() != "" {
		r.complain("names a user and no password; " +
			"write redis://user:password@host, or redis://:password@host for a password alone, and any password for a user that needs none")
	}
}

// readDatabase returns the number that the path holds, as a text.
func (r *redisURL) readDatabase(u *url.URL) string {
	number := cmp.Or(u.Query().Get("db"), u.Query().Get("database"))
	if u.Scheme != "unix" {
		path := strings.Trim(u.Path, "/")
		if path != "" && number != "" && path != number {
			return r.complain("names two databases; keep one")
		}
		if path != "" {
			number = path
		}
		u.Path, u.RawPath = "", ""
	}
	if n, err := strconv.Atoi(number); number != "" && (err != nil || n < 0) {
		return r.complain("names a database that is not a number; write redis://host:6379/0")
	}
	if r.cluster && number != "" && number != "0" {
		r.complain("names another database than 0, and a Redis Cluster has no other; take it out")
	}
	return number
}

// redisDropped are parameters that change nothing: what they are about, ampipe sets itself.
var redisDropped = []string{
	"protocol", "dialtimeout", "readtimeout", "writetimeout", "timeout", "sockettimeout", "socketconnecttimeout",
	"connecttimeout", "socketkeepalive",
	"healthcheckinterval", "retryontimeout", "maxretries", "minretrybackoff", "maxretrybackoff", "poolfifo",
	"poolsize", "pooltimeout", "minidleconns",
	"maxidleconns", "maxactiveconns", "maxconnections", "maxconcurrentdials", "pipelinepoolsize",
	"pipelinereadbuffersize", "pipelinewritebuffersize",
	"idletimeout", "idlecheckfrequency", "maxconnage", "connmaxlifetimejitter", "dialerretries", "dialerretrytimeout",
	"contexttimeoutenabled", "disableidentity", "identitysuffix",
	"unstableresp3", "maxredirects", "failingtimeoutseconds", "decoderesponses", "encoding", "encodingerrors",
	"libname", "libver", "family",
}

// redisRefused are those that would change something, by what to do.
var redisRefused = map[string]string{
	"write rediss:// in place of redis://":                         "ssl tls usetls",
	"name the authority by the environment variable SSL_CERT_FILE": "sslcacerts sslcafile cacert tlscafile",
	"client certificates are not supported; use user and password": "sslcertfile sslkeyfile cert key",
	"write skip_verify=true to take any certificate":               "sslcheckhostname sslcertreqs verify insecure",
	"write the name of the master as sentinel":                     "mastername sentinelmasterid master servicename sentinel mastergroup",
	"write cluster: true beside url":                               "cluster",
	"rows are written to masters; take it out": "readonly routebylatency routebylatencytolerance routerandomly " +
		"replicaonly usedisconnectedreplicas readfrom",
	"write it into key": "prefix keyprefix namespace",
}

func (r *redisURL) readParameters(u *url.URL, number string) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		r.complain("has a parameter that cannot be read; write special characters as %%XX")
		return
	}
	kept := url.Values{}
	if number != "" && !r.cluster {
		kept.Set("db", number)
	}
	flat := strings.NewReplacer("_", "", "-", "")
	var unknown []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		short := flat.Replace(strings.ToLower(key))
		switch {
		case short == "db", short == "database", slices.Contains(redisDropped, short):
		case key == "addr":
			kept[key] = values[key]
			r.readNodes(values[key])
		case short == "skipverify":
			r.readVerify(u, values.Get(key), kept)
		case short == "clientname":
			kept.Set("client_name", values.Get(key))
		case key == "conn_max_idle_time", key == "conn_max_lifetime":
			if _, err := time.ParseDuration(values.Get(key)); err != nil {
				r.complain("has the parameter %s, which must be a length of time such as 5m", key)
			}
			kept.Set(key, values.Get(key))
		case short == "username", short == "password":
			if !r.sentinel {
				r.complain("has the parameter %s: write redis://user:password@host", key)
				continue
			}
			kept.Set(short, values.Get(key))
		case adviceFor(short, redisRefused) != "":
			r.complain("has the parameter %s: %s", key, adviceFor(short, redisRefused))
		case keyForm.MatchString(key):
			unknown = append(unknown, key)
		default:
			r.complain("is not a URL; %s", redisForm) // the "?" was one of the password
		}
	}
	if len(unknown) > 0 {
		r.complain("has parameters that are unknown: %s; take them out", strings.Join(unknown, ", "))
	}
	if r.sentinel && kept.Get("username") != "" && kept.Get("password") == "" {
		r.complain("names a username and no password, as parameters; write both, or the password alone")
	}
	u.RawQuery = kept.Encode()
}

// readNodes checks further sentinels or nodes.
func (r *redisURL) readNodes(nodes []string) {
	if !r.sentinel && !r.cluster {
		r.complain("has the parameter addr, of further sentinels or nodes; set sentinel or cluster, or take it out")
		return
	}
	for _, node := range nodes {
		if host, port, err := net.SplitHostPort(node); err != nil || host == "" || port == "" {
			r.complain("has the parameter addr, which must be host:port")
			return
		}
	}
}

func (r *redisURL) readVerify(u *url.URL, value string, kept url.Values) {
	switch value {
	case "", "true", "1", "True":
		if u.Scheme != "rediss" {
			r.complain("has the parameter skip_verify, which is for rediss://; take it out, or write rediss://")
		}
		kept.Set("skip_verify", "true")
	case "false", "0", "False":
	default:
		r.complain("has the parameter skip_verify, which must be true or false")
	}
}
