package cli

import (
	"fmt"
	"slices"
	"strings"
)

// What the flags of the log take.
const (
	logLevels  = "trace debug info warn error"
	logFormats = "auto console json"
)

// choice is a flag with one of a few values. Another one is refused with the command
// line, also by a command that does not use it.
type choice struct {
	value *string
	of    string // the values, with blanks between
}

// String returns the value.
func (c *choice) String() string {
	if c.value == nil { // of a zero choice, which pflag makes to know the default
		return ""
	}
	return *c.value
}

// Type returns what the help calls the value.
func (c *choice) Type() string { return "string" }

// Set sets the value.
func (c *choice) Set(value string) error {
	names := strings.Fields(c.of)
	if !slices.Contains(names, value) {
		return fmt.Errorf("it is not one of %s%s", strings.Join(names, ", "), didYouMean(value, names))
	}
	*c.value = value
	return nil
}
