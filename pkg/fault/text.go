package fault

import (
	"fmt"
	"unicode/utf8"
)

// Shorten returns text, or, if it is longer than most bytes, its beginning and how
// much there is of it: queries and lists of columns may have megabytes, and an error is
// one line.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d characters)", text[:end], utf8.RuneCountInString(text))
}
