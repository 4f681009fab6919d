package amp

import (
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// longest is how many bytes of one cause people are shown: a misspelt column is
	// answered with the list of all that exist.
	longest = 240
	// longestMessage is how many bytes they are shown of all causes.
	longestMessage = 400
)

// splitCauses splits an error of the server. Amp joins an error and its causes as
// "error | Caused by: cause -> cause" (AP 6.1), and what DataFusion adds to an error
// stands before it, with "caused by" between.
func splitCauses(message string) []string {
	head, rest, _ := strings.Cut(message, " | Caused by: ")
	return append([]string{head}, strings.Split(rest, " -> ")...)
}

// errText makes an error of the server one line that fits a terminal. Each cause often
// repeats the one before it in full: what has been said already is left out.
func errText(message string) string {
	var said []string
	for _, item := range splitCauses(message) {
		item = strings.ReplaceAll(strings.TrimSpace(item), "\ncaused by\n", ": ")
		item = strings.Join(strings.Fields(item), " ")
		if item != "" && !contained(item, said) {
			said = append(said, item)
		}
	}
	for i, item := range said {
		said[i] = fault.Shorten(item, longest)
	}
	return fault.Shorten(strings.Join(said, ": "), longestMessage)
}

func contained(item string, said []string) bool {
	for _, s := range said {
		if strings.Contains(s, item) {
			return true
		}
	}
	return false
}

// causes returns an error of the server and its causes, from the outermost on, each
// without the names of what it only passed through.
func causes(message string) []string {
	var all []string
	for _, item := range splitCauses(message) {
		for part := range strings.SplitSeq(item, "\ncaused by\n") {
			all = append(all, unwrap(strings.TrimSpace(part)))
		}
	}
	return all
}

// unwrap takes the names of what an error only passed through from its beginning.
func unwrap(text string) string {
	for _, wrapper := range []string{"Arrow error: ", "External error: ", "query execution error: ", "streaming query execution error: "} {
		if inner, wrapped := strings.CutPrefix(text, wrapper); wrapped {
			return unwrap(inner)
		}
	}
	return text
}
