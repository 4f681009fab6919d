package sqlengine

// Kind is the class of a refusal; the Flight server maps it to a gRPC status.
type Kind int

// The statuses that a query can be answered with (AP 6.2).
const (
	Invalid   Kind = iota // the query can never work, and the server says so
	Internal              // a real server says INTERNAL to most mistakes in a query
	Exhausted             // out of memory
	Unoffered             // this server, unlike a real one, cannot do it
)

// Error is a refusal in the words of a real server.
type Error struct {
	Kind Kind
	Text string
}

// Error returns the text as it is sent.
func (e *Error) Error() string { return e.Text }

func invalid(text string) error  { return &Error{Invalid, text} }
func internal(text string) error { return &Error{Internal, text} }

// parseError returns what a real server answers to text that is not SQL.
func parseError(text string) error {
	return invalid(`SQL parse error | Caused by: Invalid SQL syntax -> SQL error: ParserError("` + text +
		`") -> sql parser error: ` + text)
}

// inferError returns a refusal while the schema of a query is worked out.
func inferError(kind Kind, text string) error {
	prefix := ""
	if kind == Invalid {
		prefix = "amp::invalid_input\ncaused by\n"
	}
	return &Error{kind, "failed to infer SQL output schema | Caused by: " + prefix + text + " -> " + text}
}

// planError returns a refusal when a query that has a schema is to run.
func planError(text string) error {
	return internal("failed to execute plan | Caused by: failed to execute plan -> " + text)
}
