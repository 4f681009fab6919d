package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
	"github.com/ampipe/ampipe/pkg/sink/redis/scripts"
)

// need is commands as the sink sends them, each whole, with KEY in the place of a key.
type need struct {
	pattern  string // of the keys, for an ACL; empty: the commands have none
	key      string // one of them
	commands []string
}

// stateCommands are those for the keys of the state.
var stateCommands = []string{
	"HGETALL KEY", "HSET KEY f v", "HMGET KEY f", "HGET KEY f", "HKEYS KEY", "HDEL KEY f", "HINCRBY KEY f 1", "HSETNX KEY f v",
	"EXISTS KEY", "ZADD KEY 0 m", "ZREM KEY m", "ZRANGE KEY 0 -1", "ZRANGEBYLEX KEY - +", "ZREVRANGEBYLEX KEY + -", "ZREMRANGEBYLEX KEY - +",
	"EVALSHA s 1 KEY", "EVAL_RO s 1 KEY",
}

// rowCommands are those for the keys of rows.
var rowCommands = map[config.Structure][]string{
	config.Hash:      {"TYPE KEY", "RESTORE KEY 0 x", "DUMP KEY", "HLEN KEY", "HGETALL KEY", "UNLINK KEY"},
	config.String:    {"TYPE KEY", "SET KEY x GET", "MSET KEY x", "EXISTS KEY", "GET KEY", "UNLINK KEY"},
	config.JSON:      {"TYPE KEY", "JSON.SET KEY $ x", "JSON.GET KEY", "UNLINK KEY"},
	config.Set:       {"TYPE KEY", "SADD KEY x", "SREM KEY x", "SISMEMBER KEY x"},
	config.SortedSet: {"TYPE KEY", "ZADD KEY 0 x", "ZREM KEY x", "ZSCORE KEY x"},
	config.List:      {"RPUSH KEY x", "LREM KEY -1 x", "LRANGE KEY 0 1"},
	config.Stream:    {"XADD KEY 1-1 f v", "XDEL KEY 1-1", "XRANGE KEY - +"},
}

// needsOf returns all commands that the sink, and verify, send.
func needsOf(g *format.Table) []need {
	others := need{commands: []string{"INFO", "EVAL s 0", "SCRIPT LOAD s"}}
	state := need{format.Globbed(g.Prefix()) + "*", g.Keys()[0], slices.Clone(stateCommands)}
	row := need{commands: slices.Clone(rowCommands[g.Structure])}
	row.key, row.pattern = g.Pattern.Sample()
	row.key = cmp.Or(row.key, "0") // a command without its key must not be asked about
	if g.TTL > 0 {
		row.commands = append(row.commands, "PEXPIRE KEY 1")
	}
	if g.UsesMsetGuard() {
		others.commands = append(others.commands, "MULTI", "EXEC")
		state.commands = append(state.commands, "SET KEY x", "GET KEY", "UNLINK KEY", "MSETNX KEY x")
		row.commands = append(row.commands, "MSETNX KEY x")
	}
	if g.Structure == config.JSON {
		others.commands = append(others.commands, "COMMAND INFO JSON.SET")
	}
	if number := database(g.URL); number != "" && number != "0" {
		others.commands = append(others.commands, "SELECT "+number)
	}
	if !g.Cluster {
		return []need{others, state, row}
	}
	others.commands = append(others.commands, "COMMAND", "CLUSTER SLOTS")
	state.commands = append(state.commands, "SETBIT KEY 1 1", "GET KEY")
	slot := need{format.Globbed("ampipe:"+g.Pipeline+":"+g.Sink+":") + "*", g.SlotState("0"), slices.Clone(stateCommands)}
	return []need{others, state, row, slot}
}

// database returns the number of the database in a url, as a text; empty if there is none.
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

// userOf returns the name of the user that logs in at the server.
func userOf(g *format.Table) string {
	u, err := url.Parse(string(g.URL))
	if err != nil {
		return "default"
	}
	name := u.User.Username()
	if g.Sentinel != "" {
		name = u.Query().Get("username")
	}
	return cmp.Or(name, "default")
}

// right returns the name of a command as a rule of an ACL has it, behind a plus sign.
func right(command string) string {
	words := strings.Fields(strings.ToLower(command))
	if len(words) > 1 && slices.Contains([]string{"script", "cluster", "command"}, words[0]) {
		return words[0] + "|" + words[1]
	}
	return words[0]
}

// grant returns the line for the server that grants the user these rights.
func grant(g *format.Table, keys, commands []string) string {
	line := "ACL SETUSER " + shellWord(userOf(g))
	for _, k := range keys {
		line += " " + shellWord("~"+k)
	}
	for _, c := range commands {
		line += " +" + c
	}
	return line
}

// shellWord returns a word as redis-cli reads it.
func shellWord(word string) string {
	if !strings.ContainsAny(word, " \"'\\") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// with adds the rights that commands need and are not in the list.
func with(list []string, commands ...string) []string {
	for _, c := range commands {
		if name := right(c); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// usesKey asks whether a key may be used. That the user may run EVAL is known by then, and
// it asks for a key that may be read and written.
const usesKey = "EVAL s 1 KEY"

// question is about a command on a key, or on none.
type question struct{ command, key string }

// whole returns the command with its arguments, zeros between them.
func (q question) whole() string {
	words := strings.Fields(q.command)
	for i := range words {
		if words[i] == "KEY" {
			words[i] = q.key
		}
	}
	return strings.Join(words, "\x00")
}

// questions are all that have to be asked: each command on the keys of each need, since
// keys that may not be used answer nothing.
func questions(needs []need) (all []question) {
	for _, n := range needs {
		if n.key == "" {
			for _, c := range n.commands {
				all = append(all, question{c, ""})
			}
			continue
		}
		all = append(all, question{usesKey, n.key})
		for _, on := range needs {
			for _, c := range n.commands {
				if on.key != "" {
					all = append(all, question{c, on.key})
				}
			}
		}
	}
	return all
}

// tryRights asks a server whether it takes writes, has the commands, and lets the user
// run them on the keys. Nothing is run, and nothing is left behind.
func tryRights(ctx context.Context, g *format.Table, client redis.UniversalClient) error {
	needs := needsOf(g)
	asked := questions(needs)
	args := make([]any, len(asked))
	for i, q := range asked {
		args[i] = q.whole()
	}
	reply, err := client.Eval(ctx, scripts.Rights, nil, args...).StringSlice()
	if redis.HasErrorPrefix(err, "NOPERM") {
		var all []string
		for _, n := range needs {
			all = with(all, n.commands...)
		}
		return fault.Permanent(fmt.Errorf("the user %q may not ask what else it may do (%w); "+
			"run on the server: %s", userOf(g), err, grant(g, nil, all)))
	}
	if err != nil || len(reply) != len(asked) { // or it cannot be asked
		return err
	}
	answers := make(map[question]string, len(asked))
	for i, q := range asked {
		answers[q] = reply[i]
	}
	return judge(g, needs, answers)
}

// judge returns an error that names what is missing.
func judge(g *format.Table, needs []need, answers map[question]string) error {
	var keys, commands, unknown []string
	anyKey := false
	for _, n := range needs {
		usable := n.key == "" || answers[question{usesKey, n.key}] != "denied"
		if !usable {
			keys = append(keys, n.pattern)
		} else if n.key != "" {
			anyKey = true
		}
		for _, c := range n.commands {
			answer := answers[question{c, n.key}]
			elsewhere := slices.ContainsFunc(needs, func(o need) bool { return answers[question{c, o.key}] == "allowed" })
			switch {
			case answer == "unknown":
				unknown = with(unknown, c)
			case answer == "denied" && (usable || !elsewhere):
				commands = with(commands, c)
			}
		}
	}
	var wrong []string
	if len(unknown) > 0 {
		wrong = append(wrong, fmt.Sprintf("the server has no command %s; "+
			"take it out of rename-command in the server's configuration, or use another server", strings.Join(unknown, ", ")))
	}
	if len(keys) > 0 || len(commands) > 0 {
		every, all := strings.Join(keys, " and "), strings.Join(commands, ", ")
		may := "may not use the keys " + every
		switch {
		case len(keys) == 0:
			may = "may not run " + all
		case len(commands) > 0 && !anyKey: // so no key tells
			may += ", nor, perhaps, run " + all
		case len(commands) > 0:
			may += ", nor run " + all
		}
		wrong = append(wrong, fmt.Sprintf("the user %q %s; run on the server: %s", userOf(g), may, grant(g, keys, commands)))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.Permanent(errors.New(strings.Join(wrong, "; and ")))
}
