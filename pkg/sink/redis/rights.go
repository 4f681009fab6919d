package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
)

// rightsScript asks the server whether the user may run commands, and runs none of them.
// Its first line makes it a script that may write, which a server that takes no writes
// refuses before it begins.
//
//go:embed rights.lua
var rightsScript string

// need is commands as the sink sends them, and the keys that they are about.
type need struct {
	pattern  string // of the keys, for an ACL; empty: the commands have none
	commands [][]string
}

// words splits commands that are written in lines.
func words(lines ...string) (commands [][]string) {
	for _, line := range lines {
		commands = append(commands, strings.Fields(line))
	}
	return commands
}

// on puts a key in the place of KEY.
func on(key string, commands [][]string) [][]string {
	for _, c := range commands {
		for i := range c {
			if c[i] == "KEY" {
				c[i] = key
			}
		}
	}
	return commands
}

// stateCommands are those for the keys of the state.
func stateCommands() [][]string {
	return words("HGETALL KEY", "HSET KEY f v", "HMGET KEY f", "HGET KEY f", "HKEYS KEY", "HDEL KEY f", "HINCRBY KEY f 1", "HSETNX KEY f v",
		"EXISTS KEY", "ZADD KEY 0 m", "ZREM KEY m", "ZRANGE KEY 0 -1", "ZRANGEBYLEX KEY - +", "ZREVRANGEBYLEX KEY + -", "ZREMRANGEBYLEX KEY - +",
		"EVALSHA s 1 KEY", "EVAL_RO s 1 KEY")
}

// rowCommands are those for the keys of rows.
func (g *target) rowCommands() [][]string {
	all := words("TYPE KEY")
	switch g.Structure {
	case config.Hash:
		all = words("TYPE KEY", "RESTORE KEY 0 x", "DUMP KEY", "HLEN KEY", "HGETALL KEY", "UNLINK KEY")
	case config.String:
		all = words("TYPE KEY", "SET KEY x GET", "MSET KEY x", "EXISTS KEY", "GET KEY", "UNLINK KEY")
	case config.JSON:
		all = words("TYPE KEY", "JSON.SET KEY $ x", "JSON.GET KEY", "UNLINK KEY")
	case config.Set:
		all = words("TYPE KEY", "SADD KEY x", "SREM KEY x", "SISMEMBER KEY x")
	case config.SortedSet:
		all = words("TYPE KEY", "ZADD KEY 0 x", "ZREM KEY x", "ZSCORE KEY x")
	case config.List:
		all = words("RPUSH KEY x", "LREM KEY -1 x", "LRANGE KEY 0 1")
	case config.Stream:
		all = words("XADD KEY 1-1 f v", "XDEL KEY 1-1", "XRANGE KEY - +")
	}
	if g.TTL > 0 {
		all = append(all, []string{"PEXPIRE", "KEY", "1"})
	}
	return all
}

// needs are all commands that the sink, and verify, send.
func (g *target) needs() []need {
	others := words("INFO", "EVAL s 0", "SCRIPT LOAD s")
	state := on(g.keys()[0], stateCommands())
	switch {
	case g.Cluster:
		others = append(others, words("COMMAND", "CLUSTER SLOTS")...)
		state = append(state, on(g.keys()[0], words("SETBIT KEY 1 1", "GET KEY"))...)
	case g.latches():
		others = append(others, words("MULTI", "EXEC")...)
		state = append(state, on(g.latch(), words("SET KEY x", "GET KEY", "UNLINK KEY", "MSETNX KEY rows"))...)
	}
	if g.Structure == config.JSON {
		others = append(others, words("COMMAND INFO JSON.SET")...)
	}
	row, pattern := g.pattern.sample()
	all := []need{{commands: others}, {g.statePattern(), state}, {pattern, on(row, g.rowCommands())}}
	if g.latches() {
		all[2].commands = append(all[2].commands, []string{"MSETNX", row, "x"})
	}
	if g.Cluster {
		all = append(all, need{"ampipe:" + g.pipeline + ":" + g.sink + ":*", on(g.slotState("0"), stateCommands())})
	}
	if number := database(g.URL); number != "" && number != "0" {
		all[0].commands = append(all[0].commands, []string{"SELECT", number})
	}
	return all
}

// statePattern is the keys of the state, for an ACL.
func (g *target) statePattern() string { return globbed(g.prefix()) + "*" }

// globbed is a text as a part of a pattern of keys.
func globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(text)
}

// sample is the key of a row, and the pattern of the keys of all.
func (p *pattern) sample() (key, glob string) {
	if len(p.columns) == 0 {
		return p.literals[0], globbed(p.literals[0])
	}
	parts := make([]string, len(p.literals))
	for i, literal := range p.literals {
		parts[i] = globbed(literal)
	}
	return strings.Join(p.literals, "0"), strings.Join(parts, "*")
}

// database is the number of it in a url, as a text; empty if there is none.
func database(address config.Secret) string {
	u, err := url.Parse(string(address))
	if err != nil {
		return ""
	}
	if number := u.Query().Get("db"); number != "" || u.Scheme == "unix" {
		return number
	}
	return strings.Trim(u.Path, "/")
}

// user is who logs in at the server.
func (g *target) user() string {
	u, err := url.Parse(string(g.URL))
	if err != nil {
		return "default"
	}
	name := ""
	if g.Sentinel != "" {
		name = u.Query().Get("username")
	} else if u.User != nil {
		name = u.User.Username()
	}
	if name == "" {
		return "default"
	}
	return name
}

// right is a command as a rule of an ACL.
func right(command []string) string {
	name := strings.ToLower(command[0])
	if container := []string{"script", "cluster", "command"}; len(command) > 1 && slices.Contains(container, name) {
		name += "|" + strings.ToLower(command[1])
	}
	return "+" + name
}

// grant is the line for the server that gives the user rights.
func (g *target) grant(rules []string) string {
	shown := []string{"ACL SETUSER", shellWord(g.user())}
	for _, r := range rules {
		shown = append(shown, shellWord(r))
	}
	return strings.Join(shown, " ")
}

// shellWord is a word as redis-cli reads it.
func shellWord(word string) string {
	if !strings.ContainsAny(word, " \"'\\") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// rules are all that a user needs, without repetitions: keys, then commands.
func rules(needs []need) (all []string) {
	var commands []string
	for _, n := range needs {
		if n.pattern != "" {
			all = append(all, "~"+n.pattern)
		}
		for _, c := range n.commands {
			if r := right(c); !slices.Contains(commands, r) {
				commands = append(commands, r)
			}
		}
	}
	return append(all, commands...)
}

// refusal says what the user of the url may not do, and the line that gives it.
func (g *target) refusal(lacking []need) error {
	var names, keys []string
	for _, n := range lacking {
		if n.pattern != "" {
			keys = append(keys, n.pattern)
		}
		for _, c := range n.commands {
			if name := strings.TrimPrefix(right(c), "+"); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	text := fmt.Sprintf("the user %q may not run %s", g.user(), strings.Join(names, ", "))
	if len(keys) > 0 {
		text += " on " + strings.Join(keys, " and ")
	}
	return fault.Permanent(fmt.Errorf("%s; run on the server: %s", text, g.grant(rules(lacking))))
}

// tryRights asks a server whether it takes writes, has the commands, and lets the user
// run them on the keys. Nothing is run, and nothing is left behind.
func tryRights(ctx context.Context, g *target, client redis.UniversalClient) error {
	needs := g.needs()
	var args []any
	for _, n := range needs {
		for _, c := range n.commands {
			args = append(args, strings.Join(c, "\x00"))
		}
	}
	reply, err := client.Eval(ctx, rightsScript, nil, args...).StringSlice()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return fault.Permanent(fmt.Errorf("the user %q may not ask what else it may do (%w); run on the server: %s", g.user(), err, g.grant(rules(needs))))
	}
	if err != nil {
		return err
	}
	if len(reply) != len(args) {
		return nil // it cannot be asked
	}
	var unknown []string
	var lacking []need
	for _, n := range needs {
		some := need{pattern: n.pattern}
		for _, c := range n.commands {
			switch reply[0] {
			case "denied":
				some.commands = append(some.commands, c)
			case "unknown":
				unknown = append(unknown, strings.TrimPrefix(right(c), "+"))
			}
			reply = reply[1:]
		}
		if len(some.commands) > 0 {
			lacking = append(lacking, some)
		}
	}
	var wrong []error
	if len(unknown) > 0 {
		slices.Sort(unknown)
		wrong = append(wrong, fault.Permanent(fmt.Errorf("the server has no command %s; take it out of rename-command in the server's configuration, or use another server",
			strings.Join(slices.Compact(unknown), ", "))))
	}
	if len(lacking) > 0 {
		wrong = append(wrong, g.refusal(lacking))
	}
	return oneLine(wrong)
}

// oneLine is several errors as one of a line.
func oneLine(wrong []error) error {
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return wrong[0]
	default:
		texts := make([]string, len(wrong))
		for i, err := range wrong {
			texts[i] = err.Error()
		}
		return fault.Permanent(errors.New(strings.Join(texts, "; and ")))
	}
}
