package config

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Load reads the pipelines of a file, in its order. getenv answers for
// environment variables, as os.Getenv does. Everything that is wrong comes back
// at once as an [*Error]; a file that cannot be read is any other error.
func Load(path string, getenv func(string) string) ([]*Pipeline, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text, getenv)
}

// Parse reads the pipelines of a text as [Load] does. name is the file's path:
// it begins every complaint, and relative paths in the text start at its folder.
func Parse(name string, text []byte, getenv func(string) string) ([]*Pipeline, error) {
	e := &Error{File: name}
	var docs []*document
	for n, err := range documents(text) {
		if err != nil {
			e.Complaints = append(e.Complaints, syntax(err))
			continue
		}
		d := read(name, n, getenv)
		if d != nil {
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 && len(e.Complaints) == 0 {
		e.Complaints = append(e.Complaints, Complaint{Text: "there is no pipeline in this file; begin with \"pipeline: <name>\""})
	}
	agree(docs)
	pipelines := make([]*Pipeline, len(docs))
	for i, d := range docs {
		d.refuseUnknown()
		e.Complaints = append(e.Complaints, d.complaints...)
		pipelines[i] = d.pipeline
	}
	if len(e.Complaints) > 0 {
		return nil, e.sorted()
	}
	return pipelines, nil
}

// documents returns the documents of a text, each by itself, so that what is wrong with
// the syntax of one does not hide what is wrong with another.
func documents(text []byte) iter.Seq2[*ast.DocumentNode, error] {
	return func(yield func(*ast.DocumentNode, error) bool) {
		for _, tokens := range split(lexer.Tokenize(string(text))) {
			file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
			docs := []*ast.DocumentNode{nil}
			if err == nil {
				docs = file.Docs
			}
			for _, d := range docs {
				if !yield(d, err) {
					return
				}
			}
		}
	}
}

// split cuts the tokens into documents, comments left out. The YAML library
// reads several documents itself, but drops without a word everything after
// one that is empty or commented out.
func split(tokens token.Tokens) []token.Tokens {
	tokens = slices.DeleteFunc(tokens, func(t *token.Token) bool { return t.Type == token.CommentType })
	var docs []token.Tokens
	start := 0
	for i := 1; i <= len(tokens); i++ {
		if i < len(tokens) && !begins(tokens[start:i], tokens[i]) {
			continue
		}
		doc := tokens[start:i:i]
		doc[0].Prev, doc[len(doc)-1].Next = nil, nil
		docs, start = append(docs, doc), i
	}
	return docs
}

// begins reports whether next starts another document than the tokens before it:
// after a "...", and at a "---" unless it follows the document's directives.
func begins(doc token.Tokens, next *token.Token) bool {
	if doc[len(doc)-1].Type == token.DocumentEndType {
		return true
	}
	isHeader := func(t *token.Token) bool { return t.Type == token.DocumentHeaderType }
	return isHeader(next) && (doc[0].Type != token.DirectiveType || slices.ContainsFunc(doc, isHeader))
}

// syntax takes the message and the place out of a YAML error, and leaves the
// excerpt of the file behind: it may show a password.
func syntax(err error) Complaint {
	ye, ok := err.(yaml.Error)
	if !ok || ye.GetToken() == nil || ye.GetToken().Position == nil {
		return Complaint{Text: "this is not YAML"}
	}
	p := ye.GetToken().Position
	return Complaint{p.Line, p.Column, "this is not YAML: " + ye.GetMessage()}
}

// read reads one document; nil if there is nothing in it.
func read(name string, n *ast.DocumentNode, getenv func(string) string) *document {
	switch n.Body.(type) {
	case nil, *ast.DirectiveNode, *ast.CommentGroupNode, *ast.NullNode:
		return nil
	}
	d := &document{pipeline: &Pipeline{}, file: name, folder: filepath.Dir(name), getenv: getenv,
		anchors: map[string]ast.Node{}, fields: make(map[string]field, 64)}
	ast.Walk(anchors(d.anchors), n.Body)
	body, _ := d.resolve(n.Body)
	d.group(reflect.ValueOf(d.pipeline).Elem(), field{at: start(n.Body)}, body)
	d.check()
	return d
}

// table returns what identifies a destination, or "" if the sink names none.
func (s Sink) table() string {
	switch {
	case s.Postgres != nil && s.Postgres.DSN != "" && s.Postgres.Table != "":
		return fmt.Sprintf("%q %q %q", string(s.Postgres.DSN), s.Postgres.Schema, s.Postgres.Table)
	case s.Delta != nil && s.Delta.Path+s.Delta.URL != "":
		return fmt.Sprintf("%q %q", strings.TrimRight(s.Delta.Path+s.Delta.URL, "/"), s.Delta.Endpoint)
	default:
		return ""
	}
}

// agree makes and checks what the pipelines of one file have in common: each
// has its own name and its own tables, and all share one NATS and one page, which only
// one of them needs to name.
func agree(docs []*document) {
	names, tables := map[string]field{}, map[string]field{}
	for _, d := range docs {
		if name := d.fields["pipeline"]; name.set {
			// Not by case alone either: the name is a folder of the embedded NATS.
			first, taken := claim(names, strings.ToLower(d.pipeline.Name), name)
			if taken {
				d.complain(name.at, "pipeline %q has the name of the one in line %d; give it another", name.raw, first.at.line)
			}
		}
		for i, s := range d.pipeline.Sinks {
			key, name := s.table(), d.fields[fmt.Sprintf("sinks[%d].name", i)]
			if key == "" {
				continue
			}
			first, taken := claim(tables, key, name)
			if taken {
				d.complain(name.at, "sink %q writes to the table of the sink in line %d; every sink needs a table of its own", name.raw, first.at.line)
			}
		}
	}
	shareServers(docs)
	share(docs, "log_level", "log", func(p *Pipeline) *string { return &p.LogLevel })
	share(docs, "page", "page", func(p *Pipeline) *Page { return &p.Page })
	if !share(docs, "nats", "NATS", func(p *Pipeline) *NATS { return &p.NATS }) {
		for _, d := range docs {
			d.pipeline.NATS.Embedded = d.locate(DefaultEmbedded)
		}
	}
}

// share sets for all pipelines what one of them names under a key, and reports whether one
// does.
func share[T comparable](docs []*document, key, what string, of func(*Pipeline) *T) (named bool) {
	var first *document
	for _, d := range docs {
		f := d.fields[key]
		switch {
		case !f.set:
		case first == nil:
			first = d
		case *of(d.pipeline) != *of(first.pipeline):
			d.complain(f.at, "%s differs from the one in line %d; the pipelines of a file share one %s, so name it once",
				key, first.fields[key].at.line, what)
		}
	}
	for _, d := range docs {
		if first != nil && !d.fields[key].set {
			*of(d.pipeline) = *of(first.pipeline)
		}
	}
	return first != nil
}

// claim returns the field that holds a key already, or makes f the one that does.
func claim(holders map[string]field, key string, f field) (first field, taken bool) {
	first, taken = holders[key]
	if !taken {
		holders[key] = f
	}
	return first, taken
}

// shareServers sets for each sink how many connections the others use at its server.
func shareServers(docs []*document) {
	used := map[Secret]int{}
	for _, d := range docs {
		for _, s := range d.pipeline.Sinks {
			if s.Postgres != nil {
				used[s.Postgres.DSN] += s.Postgres.Connections()
			}
		}
	}
	for _, d := range docs {
		for _, s := range d.pipeline.Sinks {
			if s.Postgres != nil {
				s.Postgres.Beside = used[s.Postgres.DSN] - s.Postgres.Connections()
			}
		}
	}
}
