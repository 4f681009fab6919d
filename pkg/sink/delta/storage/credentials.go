package storage

import (
	"fmt"
	"regexp"

	"github.com/ampipe/ampipe/pkg/fault"
)

// credentialsError says that there are no credentials to send a request with. It comes
// from the library that looks for them, and not from the bucket's server.
type credentialsError struct {
	error
	// advice is what to do about it if it does not pass.
	advice string
	// last says that the source that failed is the machine's metadata service, which is
	// asked when nothing else has credentials. A machine that has none does not answer.
	last bool
}

func (e *credentialsError) Unwrap() error { return e.error }

// issuerAway is in an error of a library that has found where credentials come from,
// and got no answer, or one that passes.
var issuerAway = regexp.MustCompile(`request send failed|(?:StatusCode:|HTTP) (?:429|5\d\d)|\b(?:Get|Post|Put) "?http|` +
	`(?:cannot fetch token:|status code) (?:429|5\d\d)\b|context deadline exceeded`)

// asked is in the error of a metadata service that answers that the machine has no
// credentials.
var asked = regexp.MustCompile(`StatusCode: 4\d\d`)

// failure returns the error of an operation that had no credentials. had says that there
// were some before: a service that gave them and is away is waited for.
func (e *credentialsError) failure(what string, had bool) error {
	passes := issuerAway.MatchString(e.Error())
	if e.last {
		passes = had && !asked.MatchString(e.Error())
	}
	if passes {
		return fault.Later(fmt.Errorf("%s: what issues the credentials does not answer: %w", what, e.error), 0)
	}
	return fault.Permanent(fmt.Errorf("%s: %s: %w", what, e.advice, e.error))
}
