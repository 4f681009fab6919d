package config

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar gives the text of a single value with its variables expanded. The
// field is not set if the key is missing, null or already complained about.
func (s *section) scalar(key string) (string, field) {
	f, n := s.ask(key)
	if n == nil {
		return "", f
	}
	return s.expanded(f, n)
}

func (r *reader) expanded(f field, n ast.Node) (string, field) {
	switch v := n.(type) {
	case *ast.StringNode:
		f.raw = v.Value
	case *ast.LiteralNode:
		f.raw = v.Value.Value
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		r.complain(f.at, "%s must be a single value, not %s", f.key, kind(n))
		f.set = false
		return "", f
	default:
		f.raw = n.GetToken().Value // numbers and booleans as they are written
	}
	text, err := expand(f.raw, r.getenv)
	if err != nil {
		r.complain(f.at, "%s: %v", f.key, err)
		f.set = false
	}
	return text, f
}

// text reads a text that is not empty. A value that is empty only because a
// variable is, "${NAME:-}", counts as missing.
func (s *section) text(key string, into *string) field {
	text, f := s.scalar(key)
	if f.set = f.set && strings.TrimSpace(text) != ""; f.set {
		*into = text
	}
	return f
}

// file reads a file name; one that is relative starts at the configuration's
// folder, and "~/" is the home folder.
func (s *section) file(key string, into *string) field {
	f := s.text(key, into)
	if f.set {
		*into = s.locate(*into)
	}
	return f
}

func (r *reader) locate(path string) string {
	if home := r.getenv("HOME"); home != "" && strings.HasPrefix(path, "~/") {
		return filepath.Join(home, path[2:])
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.folder, path)
}

// secret reads a key, or the file that the key with "_file" names.
func (s *section) secret(key string, into *Secret) field {
	return s.secretOr(key, key+"_file", into)
}

// bearer reads the token of Amp. "token_file" is the login of the Amp CLI, so the file
// that holds a token and nothing else has another name.
func (s *section) bearer(into *Source) field { return s.secretOr("token", "bearer_file", &into.Token) }

// secretOr reads a key, or the file that another key names.
func (s *section) secretOr(key, fileKey string, into *Secret) field {
	var text, path string
	f := s.text(key, &text)
	from := s.file(fileKey, &path)
	switch {
	case f.set && from.set:
		s.complain(from.at, "%s and %s are both given; keep one", f.key, from.key)
	case from.set:
		content, err := os.ReadFile(path)
		if err != nil {
			s.complain(from.at, "%s: %q cannot be read: %v", from.key, from.raw, reason(err))
			return field{key: f.key, at: from.at, set: true}
		}
		text, f = strings.TrimSpace(string(content)), from
		if text == "" {
			s.complain(from.at, "%s: %q is empty", from.key, from.raw)
		}
	}
	*into = Secret(text)
	return f
}

// reason takes the path out of a file error: it may hold a variable's value.
func reason(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// number reads a whole number from low to high.
func number[T ~int | ~uint64](s *section, key string, into *T, low, high T) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	n, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil || n < uint64(low) || n > uint64(high) {
		f.set = false
		s.complain(f.at, "%s must be a whole number from %d to %d, not %q", f.key, low, high, f.raw)
		return f
	}
	*into = T(n)
	return f
}

// flag reads true or false.
func (s *section) flag(key string, into *bool) field {
	text, f := s.scalar(key)
	switch {
	case !f.set:
	case text == "true":
		*into = true
	case text == "false":
		*into = false
	default:
		s.complain(f.at, "%s must be true or false, not %q", f.key, f.raw)
	}
	return f
}

// size reads a number of bytes from low to high.
func (s *section) size(key string, into *int64, low, high int64) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	n, err := parseSize(text)
	switch {
	case err != nil:
		s.complain(f.at, "%s: %q %v", f.key, f.raw, err)
	case n < low && high == math.MaxInt64:
		s.complain(f.at, "%s must be at least %s, not %q", f.key, showSize(low), f.raw)
	case n < low || n > high:
		s.complain(f.at, "%s must be from %s to %s, not %q", f.key, showSize(low), showSize(high), f.raw)
	default:
		*into = n
	}
	return f
}

// duration reads a length of time.
func (s *section) duration(key string, into *time.Duration) field {
	text, f := s.scalar(key)
	if !f.set {
		return f
	}
	d, err := parseDuration(text)
	if err != nil {
		s.complain(f.at, "%s: %q %v", f.key, f.raw, err)
		return f
	}
	*into = d
	return f
}

// choice reads one of several words.
func choice[T ~string](s *section, key string, into *T, words ...T) field {
	text, f := s.scalar(key)
	if !f.set || slices.Contains(words, T(text)) {
		if f.set {
			*into = T(text)
		}
		return f
	}
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	hint := ""
	if near := nearest(f.raw, all); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	s.complain(f.at, "%s must be %s, not %q%s", f.key, either(all), f.raw, hint)
	return f
}

// either lists words as "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// texts reads a list of texts, with the place of each; nil if there is no list.
func (s *section) texts(key string, into *[]string) (field, []field) {
	f, n := s.ask(key)
	if n == nil {
		return f, nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		s.complain(f.at, "%s must be a list, as in [a, b], not %s", f.key, kind(n))
		return f, nil
	}
	at := []field{}
	for i, v := range list.Values {
		e := field{key: fmt.Sprintf("%s[%d]", f.key, i), at: placeOf(v)}
		if v = s.resolve(v); v == nil {
			s.complain(e.at, "%s is empty", e.key)
			continue
		}
		e.set = true
		text, e := s.expanded(e, v)
		if e.set && strings.TrimSpace(text) == "" {
			s.complain(e.at, "%s is empty", e.key)
		}
		if e.set {
			*into, at = append(*into, text), append(at, e)
		}
	}
	return f, at
}
