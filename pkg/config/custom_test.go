package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// ownKeys are those of somebody's destination.
type ownKeys struct {
	Path     string        `yaml:"path" form:"path" required:"give the file"`
	Mode     config.Mode   `yaml:"mode" default:"append" oneof:"append,upsert"`
	Password config.Secret `yaml:"password" file:"password_file"`
	Key      []string      `yaml:"key" form:"set"`
	Limit    int           `yaml:"limit" default:"7" range:"1,9"`
}

func customOf(t *testing.T, keys string, pairs ...string) (*config.Custom, error) {
	t.Helper()
	head, _, _ := strings.Cut(valid, "sinks:")
	all, err := config.Parse("dir/f.yaml", []byte(head+"sinks:\n  - name: own\n    custom:\n      kind: mine\n"+keys), env(pairs...))
	if err != nil {
		return nil, err
	}
	return all[0].Sinks[0].Custom, nil
}

// TestCustomKeysAreTheDestinations: a program without the destination takes them all, and
// the one with it reads them as ours are read.
func TestCustomKeysAreTheDestinations(t *testing.T) {
	t.Parallel()
	c, err := customOf(t, "      max_commit_delay: 3s\n      path: a.db\n      key: [x, y]\n      password: ${PW}\n", "PW", "secret")
	if err != nil {
		t.Fatal(err)
	}
	s := config.Sink{Custom: c}
	if s.Kind() != "mine" || s.Writers() != 1 || s.CommitDelay() != 3*time.Second {
		t.Errorf("what all destinations have is %q, %d, %v", s.Kind(), s.Writers(), s.CommitDelay())
	}
	for range 2 {
		var own ownKeys
		err = c.Decode(&own)
		if err != nil || own.Path != "dir/a.db" || own.Mode != config.Append || own.Password != "secret" || len(own.Key) != 2 || own.Limit != 7 {
			t.Errorf("its own keys are %+v, %v", own, err)
		}
	}
	for keys, want := range map[string]string{
		"":                                   `path is missing; give the file`,
		"      path: a\n      mod: upsert\n": `unknown key "sinks[0].custom.mod"; did you mean "mode"?`,
		"      path: a\n      limit: 12\n":   `sinks[0].custom.limit must be a whole number from 1 to 9, not "12"`,
		"      path: ${NOPE}\n":              `sinks[0].custom.path: environment variable NOPE is not set`,
		"      path: a\n      key: [x, x]\n": `sinks[0].custom.key names column "x" twice`,
	} {
		c, err := customOf(t, keys)
		if err != nil {
			t.Errorf("%q: a program without the destination refuses it: %v", keys, err)
			continue
		}
		err = c.Decode(new(ownKeys))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "dir/f.yaml:") {
			t.Errorf("%q is answered with %v, want %s", keys, err, want)
		}
	}
	for keys, want := range map[string]string{
		"      writers: 0\n":             "sinks[0].custom.writers must be a whole number from 1 to 64",
		"      path: a\n      path: b\n": "sinks[0].custom.path is given twice",
		"    delta: { path: x }\n":       "exactly one destination: postgres, delta, redis or custom",
	} {
		_, err := customOf(t, keys)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is answered with %v, want %s", keys, err, want)
		}
	}
}
