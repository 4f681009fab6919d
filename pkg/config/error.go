package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Complaint is one thing wrong with a file. It never holds the value of an
// environment variable, of a secret or of a file that the configuration names.
type Complaint struct {
	Line, Column int // from 1; 0: about the file as a whole
	Text         string
}

// Error is everything that is wrong with a file, in the order of its lines.
type Error struct {
	File       string
	Complaints []Complaint
}

// Error returns one line "file:line:column: text" per complaint.
func (e *Error) Error() string {
	lines := make([]string, len(e.Complaints))
	for i, err := range e.Unwrap() {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each complaint as an error of its own.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Complaints))
	for i, c := range e.Complaints {
		if c.Line == 0 {
			errs[i] = fmt.Errorf("%s: %s", e.File, c.Text)
			continue
		}
		errs[i] = fmt.Errorf("%s:%d:%d: %s", e.File, c.Line, c.Column, c.Text)
	}
	return errs
}

// sorted puts the complaints in the order of the file and drops repetitions: a
// value that two keys refer to by an alias is complained about once.
func (e *Error) sorted() *Error {
	slices.SortStableFunc(e.Complaints, func(a, b Complaint) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	e.Complaints = slices.Compact(e.Complaints)
	return e
}

// DidYouMean returns "; did you mean X?" with the nearest of names, or "" if none is near.
func DidYouMean(word string, names []string, limit int) string {
	if near := Nearest(word, names, limit); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// Nearest returns the one of names that word was most likely meant to be: the first
// with the fewest edits, at most limit, or one that begins with word. It returns "" if
// there is none.
func Nearest(word string, names []string, limit int) string {
	best, least := "", 0
	for _, n := range names {
		edits := distance(strings.ToLower(word), strings.ToLower(n))
		if edits <= limit && edits < len(n) && (best == "" || edits < least) {
			best, least = n, edits
		}
	}
	for _, n := range names {
		if best == "" && len(strings.TrimLeft(word, "-")) > 1 && strings.HasPrefix(n, word) {
			best = n
		}
	}
	return best
}

// distance returns the number of edits between a and b: characters that are
// inserted, deleted or replaced, and neighbours that are swapped.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			replaced := last[j]
			if x[i] != y[j] {
				replaced++
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, replaced)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
