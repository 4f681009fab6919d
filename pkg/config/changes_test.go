package config_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// effect is what the table of the guide says of a key.
type effect struct{ effect, takenBy string }

// saidOf returns what the guide says of a change of each key, by section and key.
func saidOf(t *testing.T) map[string]effect {
	t.Helper()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n## Changing a running pipeline\n")
	if !found {
		t.Fatal("the guide does not say what changes do")
	}
	said := map[string]effect{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| ([^|]+) \\| (.+) \\|$").FindAllStringSubmatch(table, -1) {
		for key := range strings.SplitSeq(row[4], "`, `") {
			where := row[1] + " " + strings.Trim(key, "` ")
			if _, twice := said[where]; twice {
				t.Errorf("the guide says twice what a change of %s does", where)
			}
			said[where] = effect{row[2], row[3]}
		}
	}
	return said
}

// takenBy returns who takes a change, as the guide says it.
func takenBy(c config.Change) string {
	if c.Running {
		return "SIGHUP"
	}
	switch fmt.Sprint(c.Stages) {
	case "[extractor sink]":
		return "a restart of extractors and sinks"
	case "[planner]":
		return "a restart of the planner"
	case "[extractor]":
		return "a restart of the extractors"
	case "[planner extractor]":
		return "a restart of planner and extractors"
	case "[sink]":
		return "a restart of the sink"
	default:
		return "a restart of all"
	}
}

// TestEveryKeySaysWhatItsChangeDoes changes each key of the configuration, alone, and looks
// for it in the tables of the guide.
func TestEveryKeySaysWhatItsChangeDoes(t *testing.T) {
	t.Parallel()
	said, rows := saidOf(t), documented(t)
	for _, k := range keysOf(reflect.TypeFor[config.Pipeline](), "", "") {
		if k.tag == "" || k.name == "pipeline" || k.section == "sinks" { // of a file with the value; of another pipeline or sink
			continue
		}
		was, is := whole(), whole()
		f, path := fieldOf(t, is, k)
		differ(t, f)
		changes := is.Changes(was)
		name, _, _ := strings.Cut(k.name, ".")
		section := k.section
		if section == "" {
			section = "pipeline"
		}
		where := section + " " + name
		if len(changes) != 1 || changes[0].Key != path || changes[0].Effect == "" {
			t.Errorf("%s %s: a change is %+v", k.section, k.name, changes)
			continue
		}
		c := changes[0]
		if want := said[where]; want != (effect{string(c.Effect), takenBy(c)}) {
			t.Errorf("%s: the guide says %q, by %s; it is %q, by %s", where, want.effect, want.takenBy, c.Effect, takenBy(c))
		}
		if c.Running != (c.From != "" && c.To != "" && c.From != c.To) {
			t.Errorf("%s: from %q to %q", where, c.From, c.To)
		}
		meaning := rows[k.section+" "+k.name].meaning
		if strings.Contains(meaning, "may change while it runs") != c.Running {
			t.Errorf("%s: whether it may change while it runs is not said in its row: %s", where, meaning)
		}
		for _, with := range []string{k.tag.Get("file")} {
			if with != "" && said[section+" "+with] != said[where] {
				t.Errorf("%s: the guide says something else of %s", where, with)
			}
			delete(said, section+" "+with)
		}
		rows[where] = row{} // seen
	}
	for where := range said {
		if _, seen := rows[where]; !seen || rows[where] != (row{}) {
			t.Errorf("the guide says what a change of %s does, and there is no such key", where)
		}
	}
}

// whole returns a pipeline with a sink of each kind.
func whole() *config.Pipeline {
	return &config.Pipeline{LogLevel: "info", Sinks: []config.Sink{
		{Name: "postgres", Postgres: &config.Postgres{}}, {Name: "delta", Delta: &config.Delta{}},
		{Name: "redis", Redis: &config.Redis{}}, {Name: "custom", Custom: &config.Custom{}},
	}}
}

// fieldOf returns the field of a key in a pipeline that [whole] has made, and the path of the
// key that a change of it names.
func fieldOf(t *testing.T, p *config.Pipeline, k key) (reflect.Value, string) {
	t.Helper()
	at, path := reflect.ValueOf(p).Elem(), ""
	for _, s := range p.Sinks {
		if s.Name == k.section {
			sink := reflect.ValueOf(s)
			at, path = byKey(t, sink, k.section).Elem(), "sinks."+s.Name+"."+k.section+"."
		}
	}
	if path == "" && k.section != "" {
		at, path = byKey(t, at, k.section), k.section+"."
	}
	first, rest, nested := strings.Cut(k.name, ".")
	at = byKey(t, at, first)
	if nested {
		at = byKey(t, at, rest)
	}
	return at, path + first
}

func byKey(t *testing.T, v reflect.Value, key string) reflect.Value {
	t.Helper()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key {
			return v.Field(i)
		}
	}
	t.Fatalf("%s has no key %s", v.Type(), key)
	return reflect.Value{}
}

// differ sets a field to another value.
func differ(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.CanInt():
		v.SetInt(v.Int() + 7)
	case v.CanUint():
		v.SetUint(v.Uint() + 7)
	case v.CanFloat():
		v.SetFloat(v.Float() + 0.5)
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	default:
		t.Fatalf("a %s cannot be changed", v.Type())
	}
}

// TestChangesOfSinks has sinks come, go and become another, and keys that only their own
// program knows.
func TestChangesOfSinks(t *testing.T) {
	t.Parallel()
	const head = "pipeline: p\nsource: { amp: grpc://h:1, query: SELECT 1 }\nnats: { url: nats://h:1 }\nsinks:\n"
	const was = head + "  - { name: a, delta: { path: /a } }\n  - { name: b, custom: { kind: x, password: hunter2, depth: 3 } }\n" +
		"  - { name: c, redis: { url: redis://h/0, key: '{n}' } }\n  - { name: d, delta: { path: /d } }\n"
	const is = head + "  - { name: c, delta: { path: /c } }\n  - { name: e, delta: { path: /e } }\n" +
		"  - { name: b, custom: { kind: x, password: secret, writers: 3, width: 4 } }\n  - { name: d, delta: { path: /d } }\n"
	var parsed []*config.Pipeline
	for _, text := range []string{was, is} {
		p, err := config.Parse("f.yaml", []byte(text), env())
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, p[0])
	}
	var got []string
	for _, c := range parsed[1].Changes(parsed[0]) {
		got = append(got, strings.TrimSpace(fmt.Sprint(c.Effect, " ", c.Key, " ", c.From, " ", c.To)))
	}
	want := []string{
		"removed sinks.a", "nothing sinks.b.custom.writers 1 3", "nothing sinks.b.custom.depth", "nothing sinks.b.custom.password",
		"nothing sinks.b.custom.width", "another sinks.c", "added sinks.e",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the changes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTheLevelIsShared by the pipelines of a file.
func TestTheLevelIsShared(t *testing.T) {
	t.Parallel()
	one := func(name, more string) string {
		return "pipeline: " + name + "\nsource: { amp: grpc://h:1, query: SELECT 1 }\nsinks: [ { name: a, delta: { path: /" + name + " } } ]\n" + more
	}
	p, err := config.Parse("f.yaml", []byte(one("p", "")+"---\n"+one("q", "log_level: debug\n")), env())
	if err != nil || p[0].LogLevel != "debug" || p[1].LogLevel != "debug" {
		t.Errorf("%v, %v", p, err)
	}
	_, err = config.Parse("f.yaml", []byte(one("p", "log_level: debug\n")+"---\n"+one("q", "log_level: warn\n")), env())
	checkComplaints(t, "two levels", err, "9:1: log_level differs from the one in line 4; the pipelines of a file share one log, so name it once")
}

// TestMostWriters is what the connections to a destination are bounded by.
func TestMostWriters(t *testing.T) {
	t.Parallel()
	for _, k := range keysOf(reflect.TypeFor[config.Pipeline](), "", "") {
		if k.name == "writers" && k.tag.Get("range") != fmt.Sprintf("1,%d", config.MostWriters) {
			t.Errorf("%s may have %s writers", k.section, k.tag.Get("range"))
		}
	}
}
