package config

import (
	"fmt"
	"os"
	"path/filepath"
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
// at once as an [*Error]; a file that cannot be read gives any other error.
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
	for _, tokens := range split(lexer.Tokenize(string(text))) {
		file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
		if err != nil {
			e.Complaints = append(e.Complaints, syntax(err))
			continue
		}
		for _, d := range file.Docs {
			if r := read(name, d, getenv); r != nil {
				docs = append(docs, r)
			}
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

// begins tells whether next starts another document than the tokens before it:
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

// document is what one YAML document says, and the places that are needed to
// compare it with the others.
type document struct {
	*reader
	pipeline *Pipeline
	name     field
	nats     *section
	sinks    []field // by their names
}

// read reads one document; nil if there is nothing in it.
func read(name string, d *ast.DocumentNode, getenv func(string) string) *document {
	switch d.Body.(type) {
	case nil, *ast.DirectiveNode, *ast.CommentGroupNode, *ast.NullNode:
		return nil
	}
	doc := &document{reader: &reader{folder: filepath.Dir(name), getenv: getenv, anchors: map[string]ast.Node{}}}
	ast.Walk(anchors(doc.anchors), d.Body)
	doc.read(d.Body)
	return doc
}

// anchors collects the anchors of a document.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if v, ok := n.(*ast.AnchorNode); ok && v.Name != nil {
		a[v.Name.GetToken().Value] = v.Value
	}
	return a
}

// table tells destinations apart; empty if the sink names none.
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
// has its own name and its own tables, and all share one NATS, which only one
// of them needs to name.
func agree(docs []*document) {
	var nats *document
	names := map[string]*document{}
	tables := map[string]field{}
	for _, d := range docs {
		if d.nats.set && nats == nil {
			nats = d
		}
		if d.name.set {
			// Not by case alone either: the name is a folder of the embedded NATS.
			key := strings.ToLower(d.pipeline.Name)
			if first := names[key]; first != nil {
				d.complain(d.name.at, "pipeline %q has the name of the one in line %d; give it another", d.name.raw, first.name.at.line)
			} else {
				names[key] = d
			}
		}
		for i, s := range d.pipeline.Sinks {
			key := s.table()
			if key == "" {
				continue
			}
			if first, taken := tables[key]; taken {
				d.complain(d.sinks[i].at, "sink %q writes to the table of the sink in line %d; every sink needs a table of its own", d.sinks[i].raw, first.at.line)
			} else {
				tables[key] = d.sinks[i]
			}
		}
	}
	shareServers(docs)
	for _, d := range docs {
		switch {
		case nats == nil:
			d.pipeline.NATS.Embedded = d.locate(DefaultEmbedded)
		case !d.nats.set:
			d.pipeline.NATS = nats.pipeline.NATS
		case d.pipeline.NATS != nats.pipeline.NATS:
			d.complain(d.nats.at, "nats differs from the one in line %d; the pipelines of a file share one NATS, so name it once", nats.nats.at.line)
		}
	}
}

// shareServers tells each sink how many connections the others use at its server.
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
