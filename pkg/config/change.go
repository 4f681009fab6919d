package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Effect is what a changed key does to a pipeline that has loaded something.
type Effect string

const (
	Nothing   Effect = "nothing"    // it says how, where to read, or how fast; no row depends on it
	TakesOver Effect = "takes over" // what is loaded stays, the rest is loaded as it says now
	Refused   Effect = "refused"    // by the planner or the sink, before anything is written
	Another   Effect = "another"    // it names another destination, which is loaded from the beginning
	Added     Effect = "added"      // the sink is new
	Removed   Effect = "removed"    // the sink is gone
)

// Stage is a stage that reads the configuration.
type Stage string

const (
	Planner   Stage = "planner"
	Extractor Stage = "extractor"
	OfSink    Stage = "sink" // the sink that the key belongs to
)

// Change is a key that differs between two configurations of a pipeline. It has no value
// that may be a secret.
type Change struct {
	Key      string // in full, such as "extract.workers"; of a sink "sinks.NAME.redis.ttl" or "sinks.NAME"
	Sink     string // that it belongs to; empty: none
	Effect   Effect
	Stages   []Stage // that use it
	Running  bool    // they take it while they run; else when they are started again
	From, To string  // the values, if Running
}

// keyGroup are keys of a section whose changes are alike.
type keyGroup struct {
	section string // "": the top
	effect  Effect
	stages  []Stage
	running bool
	keys    []string
}

// changes decides what a change of each key does, and who takes it when. A key that is new
// has to be decided here, and in the table of docs/configuration.md.
func changes() []keyGroup {
	plan, read, write := []Stage{Planner}, []Stage{Extractor}, []Stage{OfSink}
	list := strings.Fields
	both, all := []Stage{Planner, Extractor}, []Stage{Planner, Extractor, OfSink}
	return []keyGroup{
		{"", Nothing, nil, true, list("log_level")}, // of the process
		{"source", TakesOver, plan, false, list("query")},
		{"source", Nothing, plan, false, list("table")},
		{"source", Nothing, both, false, list("amp token tls token_file keep_alive max_message " +
			"answer_timeout first_rows_timeout next_rows_timeout")},
		{"source", Refused, plan, false, list("block_column")},
		{"range", TakesOver, plan, false, list("min_block max_block")},
		{"range", Nothing, plan, false, list("reorg_buffer reorg_buffers")},
		{"range", Nothing, both, true, list("partition_size")},
		{"live", Nothing, plan, false, list("start")},
		{"nats", Nothing, all, false, list("embedded url user password nkey creds tls")},
		{"nats", Nothing, plan, false, list("replicas")},
		{"extract", Nothing, both, true, list("workers")},
		{"extract", Nothing, all, false, list("give_up_after")},
		{"extract", Nothing, read, false, list("attempts")},
		{"log", Nothing, plan, false, list("max_bytes replay dead_letter_bytes")},
		{"log", Nothing, both, false, list("max_block_bytes")},
		{"log", Nothing, read, false, list("compression entry_bytes")},
		{"page", Nothing, plan, false, list("listen token")},
		{"traces", Nothing, []Stage{Extractor, OfSink}, false, list("endpoint sample")},
		{"postgres", TakesOver, write, false, list("on_bad_row finality partition_by indexes")},
		{"postgres", Nothing, write, false, list("schema_evolution overwrite build_indexes")},
		{"postgres", Nothing, write, true, list("writers")},
		{"postgres", Refused, write, false, list("mode key types")},
		{"postgres", Another, write, false, list("dsn schema table")},
		{"delta", TakesOver, write, false, list("target_file_size compression dictionary on_bad_row")},
		{"delta", Nothing, write, false, list("region max_commit_delay checkpoint_every spool overwrite")},
		{"delta", Refused, write, false, list("partition_by")},
		{"delta", Another, write, false, list("path url endpoint")},
		{"redis", TakesOver, write, false, list("finality on_bad_row")},
		{"redis", Nothing, write, false, list("sentinel")},
		{"redis", Nothing, write, true, list("writers")},
		{"redis", Refused, write, false, list("cluster table structure key columns score null ttl")},
		{"redis", Another, write, false, list("url")},
		{"custom", TakesOver, write, false, list("on_bad_row")},
		{"custom", Nothing, write, true, list("writers")},
		{"custom", Nothing, write, false, list("max_commit_delay")},
		{"custom", Another, write, false, list("kind")},
	}
}

// Changes returns the keys in which a pipeline differs from the one that it was, in the order
// of the file.
func (p *Pipeline) Changes(was *Pipeline) []Change {
	c := comparison{groups: changes()}
	before, after := reflect.ValueOf(*was), reflect.ValueOf(*p)
	for i := range before.NumField() {
		field := before.Type().Field(i)
		key := field.Tag.Get("yaml")
		switch {
		case field.Name == "Name":
		case field.Type == reflect.TypeFor[[]Sink]():
			c.sinks(was.Sinks, p.Sinks)
		case field.Type.Kind() == reflect.Struct:
			c.section(key, key, "", before.Field(i), after.Field(i))
		default:
			c.key("", key, "", field, before.Field(i), after.Field(i))
		}
	}
	return c.found
}

// comparison collects what differs.
type comparison struct {
	groups []keyGroup
	found  []Change
}

// section compares the keys of a section, which is called name and stands at path.
func (c *comparison) section(name, path, sink string, before, after reflect.Value) {
	for i := range before.NumField() {
		field := before.Type().Field(i)
		if field.IsExported() && field.Tag.Get("yaml") != "" {
			c.key(name, join(path, field.Tag.Get("yaml")), sink, field, before.Field(i), after.Field(i))
		}
	}
}

func (c *comparison) key(section, path, sink string, field reflect.StructField, before, after reflect.Value) {
	if reflect.DeepEqual(before.Interface(), after.Interface()) {
		return
	}
	change := Change{Key: path, Sink: sink}
	for _, g := range c.groups {
		if g.section == section && slices.Contains(g.keys, field.Tag.Get("yaml")) {
			change.Effect, change.Stages, change.Running = g.effect, g.stages, g.running
		}
	}
	if change.Running {
		change.From, change.To = shown(field, before), shown(field, after)
	}
	c.found = append(c.found, change)
}

// shown returns a value as the file has it.
func shown(field reflect.StructField, v reflect.Value) string {
	if v.IsZero() && field.Tag.Get("default") == "auto" {
		return "auto"
	}
	return fmt.Sprint(v.Interface())
}

// sinks compares the lists of sinks, which names tell apart.
func (c *comparison) sinks(before, after []Sink) {
	everyone := []Stage{Planner, OfSink}
	for _, was := range before {
		path := "sinks." + was.Name
		i := slices.IndexFunc(after, func(s Sink) bool { return s.Name == was.Name })
		if i < 0 {
			c.found = append(c.found, Change{Key: path, Sink: was.Name, Effect: Removed, Stages: everyone})
			continue
		}
		c.sink(path, was, after[i])
	}
	for _, s := range after {
		if !slices.ContainsFunc(before, func(was Sink) bool { return s.Name == was.Name }) {
			c.found = append(c.found, Change{Key: "sinks." + s.Name, Sink: s.Name, Effect: Added, Stages: everyone})
		}
	}
}

func (c *comparison) sink(path string, was, is Sink) {
	before, after := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := range before.NumField() {
		old, now := before.Field(i), after.Field(i)
		if old.Kind() != reflect.Pointer {
			continue
		}
		if old.IsNil() != now.IsNil() {
			c.found = append(c.found, Change{Key: path, Sink: was.Name, Effect: Another, Stages: []Stage{OfSink}})
			return
		}
		if !old.IsNil() {
			name := before.Type().Field(i).Tag.Get("yaml")
			c.section(name, join(path, name), was.Name, old.Elem(), now.Elem())
		}
	}
	if was.Custom != nil && is.Custom != nil {
		c.custom(join(path, "custom"), was, is)
	}
}

// custom compares the keys that only the destination's program knows, by how they are
// written.
func (c *comparison) custom(path string, was, is Sink) {
	before, after := was.Custom.written(), is.Custom.written()
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if before[key] != after[key] {
			c.found = append(c.found, Change{Key: join(path, key), Sink: was.Name, Effect: Nothing, Stages: []Stage{OfSink}})
		}
	}
}
