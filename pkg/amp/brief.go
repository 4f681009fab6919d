package amp

import (
	"strings"
	"unicode/utf8"
)

// longest is how many bytes of one cause people are shown: a misspelt column is
// answered with the list of all that exist.
const longest = 400

// brief makes an Amp error readable. The server joins an error and its causes as
// "error | Caused by: cause -> cause" (AP 6.1), where each cause often repeats
// the one before it in full: what has been said already is left out.
func brief(message string) string {
	head, causes, _ := strings.Cut(message, " | Caused by: ")
	var said []string
	for _, item := range append([]string{head}, strings.Split(causes, " -> ")...) {
		item = strings.ReplaceAll(strings.TrimSpace(item), "\ncaused by\n", ": ")
		item = strings.Join(strings.Fields(item), " ")
		if item != "" && !contained(item, said) {
			said = append(said, item)
		}
	}
	for i, item := range said {
		said[i] = shorten(item)
	}
	return strings.Join(said, ": ")
}

func contained(item string, said []string) bool {
	for _, s := range said {
		if strings.Contains(s, item) {
			return true
		}
	}
	return false
}

func shorten(item string) string {
	if len(item) <= longest {
		return item
	}
	end := longest
	for end > 0 && !utf8.RuneStart(item[end]) {
		end--
	}
	return item[:end] + "…"
}
