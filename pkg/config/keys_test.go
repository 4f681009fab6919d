package config_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
)

// key is what the tags of a field say.
type key struct {
	section, name string // "source", "tls.ca"
	tag           reflect.StructTag
	parts         []string // keys of the groups in its list
}

// keysOf returns all keys, from the structures.
func keysOf(t reflect.Type, section, prefix string) []key {
	var all []key
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || f.Name == "_" {
			continue
		}
		inner := f.Type
		switch {
		case inner.Kind() == reflect.Pointer && inner.Elem().Kind() == reflect.Struct:
			all = append(all, keysOf(inner.Elem(), name, "")...) // a destination
		case inner == reflect.TypeFor[[]config.Sink]():
			all = append(all, keysOf(inner.Elem(), "sinks", "")...)
		case inner.Kind() == reflect.Struct && section == "":
			all = append(all, keysOf(inner, name, "")...)
		case inner.Kind() == reflect.Struct:
			all = append(all, keysOf(inner, section, prefix+name+".")...)
		default:
			k := key{section: section, name: prefix + name, tag: f.Tag}
			if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct {
				for _, part := range keysOf(inner.Elem(), section, "") {
					k.parts = append(k.parts, part.name)
				}
			}
			all = append(all, k)
			if file := f.Tag.Get("file"); file != "" {
				all = append(all, key{section: section, name: prefix + file})
			}
		}
	}
	return all
}

// row is a row of the guide's tables.
type row struct{ meaning, standard string }

var (
	sectionLine = regexp.MustCompile("^(?:### )?`?(\\w+)`?(?::| \\(see.*|, which .*)?$")
	rowLine     = regexp.MustCompile("^\\| (`.*?`) \\| (.*) \\| (.*?) ?\\|$")
	quotedWord  = regexp.MustCompile("`([^`]+)`")
)

// documented returns the rows of docs/configuration.md by section and key.
func documented(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reference, _ := strings.Cut(string(text), "\n## Keys\n")
	reference, _, _ = strings.Cut(reference, "\n## ")
	rows, section := map[string]row{}, ""
	for line := range strings.Lines(reference) {
		line = strings.TrimSpace(line)
		if m := rowLine.FindStringSubmatch(line); m != nil {
			for _, name := range quotedWord.FindAllStringSubmatch(m[1], -1) {
				where := section + " " + name[1]
				if _, twice := rows[where]; twice {
					t.Errorf("%s is documented twice", where)
				}
				rows[where] = row{m[2], m[3]}
			}
		} else if m := sectionLine.FindStringSubmatch(line); m != nil {
			section = strings.TrimSuffix(m[1], "Top")
		}
	}
	return rows
}

// TestEveryKeyIsDocumented compares the tags with the guide: each key is there, with its
// default, its bounds and its words, and no other is.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	rows := documented(t)
	plain := strings.NewReplacer(",", "", " ", "", "`", "")
	for _, k := range keysOf(reflect.TypeFor[config.Pipeline](), "", "") {
		where := k.section + " " + k.name
		r, ok := rows[where]
		delete(rows, where)
		if !ok {
			t.Errorf("%s is not documented", where)
			continue
		}
		if standard := k.tag.Get("default"); !strings.HasPrefix(plain.Replace(r.standard), standard) {
			t.Errorf("%s: the default is documented as %q, and is %q", where, r.standard, standard)
		}
		if k.tag.Get("required") != "" && !strings.HasPrefix(r.standard, "required") {
			t.Errorf("%s: it is not documented as required", where)
		}
		if least, most, _ := strings.Cut(k.tag.Get("range"), ","); len(most) < 10 { // a longer one is that of the type
			for _, bound := range []string{least, most} {
				if !strings.Contains(plain.Replace(r.meaning), bound) {
					t.Errorf("%s: the bound %s is not documented", where, bound)
				}
			}
		}
		for word := range strings.SplitSeq(k.tag.Get("oneof"), ",") {
			if word != "" && !strings.Contains(r.meaning, "`"+word+"`") {
				t.Errorf("%s: the word %s is not documented", where, word)
			}
		}
		for _, part := range k.parts {
			if !strings.Contains(r.meaning, part+":") {
				t.Errorf("%s: %s is not documented", where, part)
			}
		}
	}
	for _, group := range []string{" source", " sinks", "sinks postgres", "sinks delta", "sinks redis", "sinks custom"} {
		delete(rows, group)
	}
	for where := range rows {
		t.Errorf("%s is documented, and there is no such key", where)
	}
}

// TestTagsAreUnderstood finds what a tag says and nobody reads.
func TestTagsAreUnderstood(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`(\S+):"(?:[^"\\]|\\.)*" ?`)
	bounds := 0
	for _, k := range keysOf(reflect.TypeFor[config.Pipeline](), "", "") {
		if rest := name.ReplaceAllString(string(k.tag), ""); rest != "" {
			t.Errorf("%s %s: %q of its tag is not a pair", k.section, k.name, rest)
		}
		for _, m := range name.FindAllStringSubmatch(string(k.tag), -1) {
			if !slices.Contains([]string{"yaml", "default", "range", "oneof", "required", "file", "form", "star", "on"}, m[1]) {
				t.Errorf("%s %s has the tag %s", k.section, k.name, m[1])
			}
		}
		form := k.tag.Get("form")
		if form != "" && !slices.Contains([]string{"path", "size", "set", "short", "pattern"}, form) {
			t.Errorf("%s %s has the form %s", k.section, k.name, form)
		}
		if strings.HasSuffix(k.tag.Get("range"), fmt.Sprintf(",%d", block.Max)) {
			bounds++
		}
	}
	if bounds != 4 {
		t.Errorf("%d keys are bounded by the highest block, want min_block, max_block, partition_size and finality", bounds)
	}
}

var update = flag.Bool("update", false, "write the keys of this version to testdata/keys.txt, when it is released")

// TestKeysOfEarlierVersions finds each key that a version had, with the default, the
// bounds and the words that it had: a configuration that was written for it still says
// the same.
func TestKeysOfEarlierVersions(t *testing.T) {
	t.Parallel()
	const file = "testdata/keys.txt"
	now := map[string]key{}
	var lines []string
	for _, k := range keysOf(reflect.TypeFor[config.Pipeline](), "", "") {
		where := strings.TrimSpace(k.section + " " + k.name)
		now[where] = k
		lines = append(lines, fmt.Sprintf("%s; default %s; range %s; one of %s; parts %s\n",
			where, k.tag.Get("default"), k.tag.Get("range"), k.tag.Get("oneof"), strings.Join(k.parts, ",")))
	}
	if *update {
		slices.Sort(lines)
		if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		m := regexp.MustCompile(`^(.*); default (.*); range (.*); one of (.*); parts (.*)\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s: %q is no key", file, line)
		}
		k, ok := now[m[1]]
		if !ok {
			t.Errorf("the key %s is gone", m[1])
			continue
		}
		if got := k.tag.Get("default"); got != m[2] {
			t.Errorf("%s: the default was %s and is %s", m[1], m[2], got)
		}
		if got := k.tag.Get("range"); got != m[3] && got != "" {
			t.Errorf("%s: the range was %s and is %s; if it is wider, write so in %s", m[1], m[3], got, file)
		}
		words, parts := strings.Split(k.tag.Get("oneof"), ","), k.parts
		for word := range strings.SplitSeq(m[4], ",") {
			if !slices.Contains(words, word) && word != "" {
				t.Errorf("%s: the word %s is gone", m[1], word)
			}
		}
		for part := range strings.SplitSeq(m[5], ",") {
			if !slices.Contains(parts, part) && part != "" {
				t.Errorf("%s: the key %s is gone", m[1], part)
			}
		}
	}
}
