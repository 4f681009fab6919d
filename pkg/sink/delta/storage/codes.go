package storage

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// The sentences that the codes of several clouds share.
const (
	ofThrottling = "the server wants fewer requests"
	ofTrouble    = "the server has an error of its own"
	ofOthers     = "ampipe asks for nothing of the kind; if it stays so, this is a bug: report it"
	ofRequest    = "the server does not take the request; check url and endpoint"
	ofName404    = "there is no such thing at that address; correct url and endpoint"
	ofState      = "the bucket, or the account, is closed; open it, or use another one"
	ofEncryption = "the key that the bucket encrypts with cannot be used; mend its state, or let these credentials use it"
	ofRetention  = "a hold or retention policy of the bucket keeps the file; take it off, or use another bucket"
	ofClass      = "the file was archived; bring it back, and let no rule archive files of a table"
	ofTaken      = "the name is taken"
	ofGone       = "the file is gone"
	ofSize       = "the server does not take so large a file; lower target_file_size"
	ofChanged    = "the bytes were changed on the way"
	ofUpload     = "another program uploads to the same file"
	ofOperation  = "the server does not offer this operation; use another one, or a newer version of it"
	ofFull       = "the server is full; make room there"
	ofRange      = "the file is shorter than it was"
	ofSlow       = "the server waited too long for the request"
	ofMove       = "the bucket is being moved"
	ofCut        = "the request was cut"
	ofWriter     = "another writer is at the same name"
	ofQuota      = "the bucket's quota is used up; make room, or raise it"
)

// statuses is what is decided for the status of an answer whose code is unknown, which
// may be that of a proxy.
var statuses = map[int]advice{
	http.StatusMovedPermanently: {fault.ClassPermanent, "the bucket is in another region, or at another endpoint; " +
		"set region, or correct endpoint"},
	http.StatusFound:             {fault.ClassPermanent, "the answer leads elsewhere; correct endpoint"},
	http.StatusTemporaryRedirect: {fault.ClassLater, ofMove},
	http.StatusPermanentRedirect: {fault.ClassPermanent, "the bucket is in another region, or at another endpoint; " +
		"set region, or correct endpoint"},
	http.StatusBadRequest:       {fault.ClassPermanent, ofRequest},
	http.StatusUnauthorized:     {fault.ClassPermanent, "the server does not accept the credentials"},
	http.StatusPaymentRequired:  {fault.ClassPermanent, "the account has to be paid for"},
	http.StatusForbidden:        {fault.ClassPermanent, accessDenied},
	http.StatusNotFound:         {fault.ClassPermanent, ofName404},
	http.StatusMethodNotAllowed: {fault.ClassPermanent, ofRequest},
	http.StatusProxyAuthRequired: {fault.ClassPermanent, "a proxy wants a password; " +
		"put it into HTTPS_PROXY, or except the server by NO_PROXY"},
	http.StatusRequestTimeout: {fault.ClassLater, ofSlow},
	http.StatusConflict:       {fault.ClassLater, "something else is being done to the bucket or to the file"},
	http.StatusGone:           {fault.ClassPermanent, ofName404},
	http.StatusRequestEntityTooLarge: {fault.ClassPermanent, "the server, or a proxy, does not take so large a file; " +
		"lower target_file_size"},
	http.StatusTooEarly:            {fault.ClassLater, ofThrottling},
	http.StatusTooManyRequests:     {fault.ClassLater, ofThrottling},
	http.StatusNotImplemented:      {fault.ClassPermanent, ofOperation},
	http.StatusInsufficientStorage: {fault.ClassLater, ofFull},
}

// answer is what a cloud's server has said.
type answer struct {
	status  int
	code    string
	message string
}

// decide returns what the answer means: by its code, if that is one of the cloud's
// codes, or by its status.
func (a answer) decide(codes map[string]advice) advice {
	if known, ok := codes[a.code]; ok {
		return known
	}
	if known, ok := statuses[a.status]; ok {
		return known
	}
	if a.status >= 500 {
		return advice{fault.ClassLater, ofTrouble}
	}
	return advice{fault.ClassAgain, ofOthers}
}

// longestMessage is how many bytes of a server's message are shown.
const longestMessage = 200

// said returns the answer in a line.
func (a answer) said() string {
	text := fmt.Sprintf("the server answered %s (HTTP %d)", cmp.Or(a.code, http.StatusText(a.status), "an error"), a.status)
	if message := strings.Join(strings.Fields(a.message), " "); message != "" {
		text += ": " + fault.Shorten(message, longestMessage)
	}
	return text
}

// failure returns the error of an operation that the server answered like this.
func (a answer) failure(what string, codes map[string]advice) error {
	known := a.decide(codes)
	return fault.As(known.class, fmt.Errorf("%s: %s; %s", what, a.said(), known.text))
}
