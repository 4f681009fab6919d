package redis_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// rights returns the rights that a manual says to grant, without the keys.
func rights(t testing.TB, manual string) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/" + manual)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER .*$`).Find(page)
	if line == nil {
		t.Fatalf("docs/%s has no ACL SETUSER", manual)
	}
	var all []string
	for _, rule := range strings.Fields(string(line)) {
		if strings.HasPrefix(rule, "+") {
			all = append(all, rule)
		}
	}
	return all
}

// needed are the rights that a sink needs.
func needed(t testing.TB, cfg config.Redis) []string {
	t.Helper()
	all, err := redis.Rights(cfg, balanceTable(&server{name: "s"}))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestTheManualsGiveTheSameRights also finds a right that is not needed, or missing.
func TestTheManualsGiveTheSameRights(t *testing.T) {
	t.Parallel()
	want := []string{"+hscan", "+scan", "+sscan", "+zscan"} // of verify --deep
	for _, structure := range []config.Structure{config.Hash, config.String, config.Stream, config.Set, config.SortedSet, config.List} {
		cfg := config.Redis{Structure: structure, Key: "k:{block_num}", TTL: time.Hour}
		want = append(want, needed(t, cfg)...)
		cfg.TTL = 0
		want = append(want, needed(t, cfg)...)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, manual := range []string{"redis.md", "security.md"} {
		got := rights(t, manual)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("docs/%s gives\n%s\nand what is needed is\n%s", manual, strings.Join(got, " "), strings.Join(want, " "))
		}
	}
}

// TestEveryQuestionIsAWholeCommand: a server looks for keys in the arguments of a command
// without counting them, and Redis 7.0 crashes if EVALSHA has none.
func TestEveryQuestionIsAWholeCommand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := s.UniversalClient.(*driver.Client)
	for _, structure := range []config.Structure{config.Hash, config.String, config.Stream, config.Set, config.SortedSet, config.List} {
		for _, clustered := range []bool{false, true} {
			cfg := config.Redis{Structure: structure, Key: "k:{block_num}", TTL: time.Hour, Cluster: clustered, URL: "redis://h?db=1"}
			questions, err := redis.Questions(cfg, balanceTable(s))
			if err != nil || len(questions) < 30 {
				t.Fatalf("%d questions, %v", len(questions), err)
			}
			for _, words := range questions {
				info, err := client.Do(t.Context(), "COMMAND", "INFO", words[0]).Slice()
				if err != nil {
					t.Fatal(err)
				}
				about, ok := info[0].([]any)
				if !ok {
					t.Fatalf("%q is no command", words)
				}
				if arity := about[1].(int64); (arity > 0 && int(arity) != len(words)) || len(words) < int(-arity) || slices.Contains(words, "") {
					t.Errorf("%q has %d words, and the command takes %d", words, len(words), arity)
				}
			}
		}
	}
}
