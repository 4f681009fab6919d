package storage

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// answer is what a cloud's server has said, and refuses a request with.
type answer struct {
	status  int
	code    string
	message string
}

// The codes of an answer that a caller asks about.
const (
	missing = "NoSuchKey NotFound notFound BlobNotFound"
	taken   = "PreconditionFailed conditionNotMet BlobAlreadyExists ConditionNotMet"
)

func (a *answer) isOne(codes string) bool { return slices.Contains(strings.Fields(codes), a.code) }

// decide returns what the answer means: by its code, if that is known, or by its status.
func (a *answer) decide() advice {
	for _, code := range []string{a.code, strconv.Itoa(a.status)} {
		if known, ok := serverCodes.find(code); ok {
			return known
		}
	}
	like := "NotModified"
	if a.status >= http.StatusInternalServerError {
		like = "InternalError"
	}
	known, _ := serverCodes.find(like)
	return known
}

// longestMessage is how many bytes of a server's message are shown.
const longestMessage = 200

// Error returns the answer in a line.
func (a *answer) Error() string {
	text := fmt.Sprintf("the server answered %s (HTTP %d)", cmp.Or(a.code, http.StatusText(a.status), "an error"), a.status)
	if message := strings.Join(strings.Fields(a.message), " "); message != "" {
		text += ": " + fault.Shorten(message, longestMessage)
	}
	return text
}

// failure returns the error of an operation that the server answered like this.
func (a *answer) failure(what string) error {
	known := a.decide()
	return fault.As(known.class, fmt.Errorf("%s: %s; %s", what, a.Error(), known.text))
}
