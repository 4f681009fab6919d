package config

import (
	"fmt"
	"io"
)

// Secret is a text that every formatting verb, String, JSON and YAML show as
// "***". Convert it with string(s) where it is needed, and nowhere else.
type Secret string

const mask = "***"

// String gives "***", or "" for a secret that is not set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format writes what String gives, whatever the verb: %d or %#v of a plain
// string type would show its value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText makes JSON, YAML and structured logs show what String gives.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
