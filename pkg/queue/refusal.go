package queue

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/fault"
)

// refusal is a request that the permissions of the user do not allow.
type refusal struct{ err error }

// refusalForm finds in the server's text what was refused.
var refusalForm = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

// isBeat finds a refused document of a process: users whose rights were given to them for
// an earlier version lack that one.
var isBeat = regexp.MustCompile(`"\$KV\.` + stateBucket + `\.[^."]+\.` + keyProcess + `\.`)

// asyncError receives what the server sends without being asked. It answers nothing to a
// request that it refuses, so the request would only time out, and be repeated: the
// connection is closed instead, which ends the request at once, and classify returns the
// reason.
func (c *Conn) asyncError(nc *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) || strings.Contains(err.Error(), `"$JS.API.CONSUMER.UNPIN.`) {
		return // the latter is asked for as a courtesy: without it another process waits some seconds longer
	}
	if isBeat.MatchString(err.Error()) { // nothing but what is shown depends on it
		c.silenced.CompareAndSwap(nil, &refusal{c.explain(err)})
		return
	}
	c.refused.CompareAndSwap(nil, &refusal{c.explain(err)})
	nc.Close()
}

// explain names the subject that was refused, and what to do.
func (c *Conn) explain(err error) error {
	what := "what it asked for"
	if m := refusalForm.FindStringSubmatch(err.Error()); m != nil {
		verb := map[string]string{"publish": "publish to", "subscription": "subscribe to"}[strings.ToLower(m[1])]
		what = fmt.Sprintf("%s %q", verb, m[2])
	}
	return fault.Permanent(fmt.Errorf(
		"NATS does not allow %s to %s: %s a user that may, "+
			"or give this one the right (deploy/nats/permissions.conf has what each process needs)",
		c.user(), what, c.other()))
}

// other returns where the configuration names another user.
func (c *Conn) other() string {
	switch c.cfg.Role {
	case "run", "operator":
		return "name in the configuration"
	default:
		return fmt.Sprintf("start the %s with the credentials of", c.cfg.Role)
	}
}

// user names the user of the connection, as far as it is not a secret.
func (c *Conn) user() string {
	switch {
	case c.cfg.User != "":
		return fmt.Sprintf("user %q", c.cfg.User)
	case c.cfg.NKey != "":
		return "the user of nkey file " + c.cfg.NKey
	case c.cfg.Creds != "":
		return "the user of credentials file " + c.cfg.Creds
	}
	first, _, _ := strings.Cut(c.cfg.URL, ",")
	u, err := url.Parse(strings.TrimSpace(first))
	if err == nil && u.User.Username() != "" {
		_, password := u.User.Password()
		if password { // a user alone is a token
			return fmt.Sprintf("user %q", u.User.Username())
		}
	}
	return "this user"
}
