package config

import (
	"fmt"
	"io"
)

// Secret is a text that every formatting verb, String, JSON and YAML show as
// "***". Convert it with string(s) where it is needed, and nowhere else.
type Secret string

// String returns "***", or "" for a secret that is not set.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// Format writes what String returns, whatever the verb: %d or %#v of a plain
// string type would show its value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText makes JSON, YAML and structured logs show what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String names the table. It also keeps the connection string out of every
// print of a structure that holds the pointer: there, fmt would not ask Secret.
func (p Postgres) String() string { return fmt.Sprintf("table %s.%s (%s)", p.Schema, p.Table, p.Mode) }
