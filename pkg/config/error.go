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

// Error gives one line "file:line:column: text" per complaint.
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

// nearest gives the candidate that word is most likely a misspelling of, or "".
func nearest(word string, candidates []string) string {
	best, found := len(word)/3+1, ""
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d <= best && d < len(c) {
			best, found = d-1, c // a later candidate must be nearer
		}
	}
	return found
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (Damerau's restricted edit distance).
func distance(a, b string) int {
	var before, last []int
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last = last, line
		line = make([]int, len(b)+1)
		line[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			line[j] = min(change, last[j]+1, line[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				line[j] = min(line[j], before[j-2]+1)
			}
		}
	}
	return line[len(b)]
}
