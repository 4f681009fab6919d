package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

	// Neither shows the text: it may be the middle of a password.
	errOpen = errors.New(`"${" is not closed; write "$${" for the characters themselves`)
	errName = errors.New(`"${…}" must hold a variable, as ${NAME} or ${NAME:-default}; write "$${" for the characters themselves`)
)

// expand replaces ${VAR} and ${VAR:-default} in one parsed value. What a
// variable holds is never expanded again, neither for YAML nor for another
// ${…}, so no value can break out of its place. $${ stands for a literal ${.
// As in a shell, an empty variable counts as unset for ":-"; without a default
// it is an error, because an empty secret is a forgotten one.
func expand(text string, getenv func(string) string) (string, error) {
	var out strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			out.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		out.WriteString(text[:at])
		body, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", errOpen
		}
		name, fallback, optional := strings.Cut(body, ":-")
		if !variable.MatchString(name) {
			return "", errName
		}
		value := getenv(name)
		if value == "" && !optional {
			return "", fmt.Errorf("environment variable %s is not set; set it, or give a default as ${%s:-…}", name, name)
		}
		if value == "" {
			value = fallback
		}
		out.WriteString(value)
		text = rest
	}
}
