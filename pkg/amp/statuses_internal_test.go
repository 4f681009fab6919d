package amp

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/fault"
)

// kindsOfDataFusion are the names of the kinds of errors of DataFusion and
// Arrow, as they stand before the text.
var kindsOfDataFusion = []string{
	"Arrow error: x", "Parquet error: ", "Avro error: ", "Object Store error: ", "IO error: ", "SQL error: ",
	"This feature is not implemented: ", "Internal error: ", "Error during planning: ", "Invalid or Unsupported Configuration: ",
	"Schema error: ", "Execution error: ", "ExecutionJoin error: ", "Resources exhausted: ", "External error: x",
	"Substrait error: ", "FFI error: ",
	"Arrow error: Not yet implemented: ", "Arrow error: External error: x", "Arrow error: Cast error: ", "Arrow error: Memory error: ",
	"Arrow error: Parser error: ", "Arrow error: Schema error: ", "Arrow error: Compute error: ", "Arrow error: Arithmetic overflow: ",
	"Arrow error: Divide by zero error", "Arrow error: Csv error: ", "Arrow error: Json error: ", "Arrow error: Avro error: ",
	"Arrow error: Io error: ", "Arrow error: Ipc error: ", "Arrow error: Invalid argument error: ", "Arrow error: Parquet argument error: ",
	"Arrow error: C Data interface error: ", "Arrow error: Dictionary key bigger than the key type",
	"Arrow error: Run end encoded array index overflow error", "Arrow error: Offset overflow error: ",
}

func TestEveryKindOfErrorIsDecided(t *testing.T) {
	for _, kind := range kindsOfDataFusion {
		if strings.HasSuffix(kind, "x") {
			continue // what it wraps decides
		}
		for _, message := range []string{kind + "x", "failed | Caused by: " + kind + "x", "failed | Caused by: y -> External error: " + kind + "x"} {
			decided := false
			for _, text := range causes(message) {
				for _, r := range ofText {
					decided = decided || r.text.MatchString(text)
				}
			}
			if !decided {
				t.Errorf("nobody has decided about %q", message)
			}
		}
	}
}

func TestEveryCodeIsDecided(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if _, decided := ofCode[code]; !decided {
			t.Errorf("nobody has decided about %v", code)
		}
	}
	if len(ofCode) != 17 {
		t.Errorf("%d codes are decided about, and gRPC has 17", len(ofCode))
	}
	for _, r := range ofText {
		if r.text == nil || len(r.codes) == 0 || r.advice == "" {
			t.Errorf("%+v is not whole", r)
		}
	}
}

// TestTheWayToTheServer are texts as grpc writes them.
func TestTheWayToTheServer(t *testing.T) {
	for message, want := range map[string]struct {
		code        codes.Code
		class       fault.Class
		misdirected bool
		advice      string
	}{
		`closing transport due to: connection error: desc = "error reading from server: EOF", received prior goaway: code: ENHANCE_YOUR_CALM, debug data: "too_many_pings"`:                   {codes.Unavailable, fault.ClassLater, false, "raise source.keep_alive"},
		`stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM`:                                                                                                                  {codes.ResourceExhausted, fault.ClassLater, false, "lower extract.workers"},
		`unexpected HTTP status code received from server: 502 (Bad Gateway); transport: received unexpected content-type "text/html"`:                                                        {codes.Unavailable, fault.ClassLater, false, "does not reach Amp behind it"},
		`unexpected HTTP status code received from server: 503 (Service Unavailable)`:                                                                                                         {codes.Unavailable, fault.ClassLater, false, "does not reach Amp behind it"},
		`unexpected HTTP status code received from server: 404 (Not Found); transport: received unexpected content-type "text/plain"`:                                                         {codes.Unimplemented, fault.ClassAgain, false, "the answer of a proxy"},
		`unexpected HTTP status code received from server: 200 (OK); transport: received unexpected content-type "text/html"`:                                                                 {codes.Unknown, fault.ClassAgain, false, "the answer of a proxy"},
		`unexpected HTTP status code received from server: 400 (Bad Request); transport: received unexpected content-type "text/html"`:                                                        {codes.Internal, fault.ClassAgain, false, "the answer of a proxy"},
		`connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`:                                                         {codes.Unavailable, fault.ClassLater, true, "write grpc:// instead of grpcs://"},
		`connection error: desc = "error reading server preface: http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header"`: {codes.Unavailable, fault.ClassLater, true, "speaks HTTP/1.1"},
		`connection error: desc = "error reading server preface: http2: failed reading the frame payload: http2: frame too large"`:                                                            {codes.Unavailable, fault.ClassLater, true, "write grpcs:// instead of grpc://"},
		`connection error: desc = "error reading server preface: EOF"`:                                                                                                                        {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "error reading server preface: read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer"`:                                                          {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "transport: failed to write client preface: write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe"`:                                                        {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "transport: failed to write initial settings frame: write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe"`:                                                {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "transport: failed to write window update: write tcp 127.0.0.1:2->127.0.0.1:1: write: connection reset by peer"`:                                            {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe`:                                                                                                                              {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`write tcp [::1]:2->[::1]:1: write: connection reset by peer`:                                                                                                                         {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "error reading server preface: read tcp 127.0.0.1:2->127.0.0.1:1: use of closed network connection"`:                                                        {codes.Unavailable, fault.ClassLater, false, "ended before anything came from the server"},
		`connection error: desc = "transport: authentication handshake failed: EOF"`:                                                                                                          {codes.Unavailable, fault.ClassLater, false, "If it speaks plain text"},
		`connection error: desc = "transport: authentication handshake failed: read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer"`:                                            {codes.Unavailable, fault.ClassLater, false, "If it speaks plain text"},
		`connection error: desc = "transport: authentication handshake failed: context deadline exceeded"`:                                                                                    {codes.Unavailable, fault.ClassLater, false, "If it speaks plain text"},
		`connection error: desc = "transport: authentication handshake failed: remote error: tls: handshake failure"`:                                                                         {codes.Unavailable, fault.ClassLater, false, "the TLS connection cannot be made"},
		`connection error: desc = "error reading server preface: unexpected EOF"`:                                                                                                             {codes.Unavailable, fault.ClassLater, false, "does not answer as a gRPC server"},
		`connection error: desc = "initial http2 frame from server is not a settings frame: *http2.PingFrame"`:                                                                                {codes.Unavailable, fault.ClassLater, false, "does not answer as a gRPC server"},
		`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`:                             {codes.Unavailable, fault.ClassLater, true, "source.tls.ca"},
		`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for a, not b"`:                                   {codes.Unavailable, fault.ClassLater, true, "the host that the certificate is for"},
		`connection error: desc = "error reading server preface: remote error: tls: certificate required"`:                                                                                    {codes.Unavailable, fault.ClassLater, true, "source.tls.cert"},
		`name resolver error: produced zero addresses`:                                                                                                                                        {codes.Unavailable, fault.ClassLater, false, "cannot be found by its name"},
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1602: connect: connection refused"`:                                                                     {codes.Unavailable, fault.ClassLater, false, "is Amp running"},
		`Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes`:                                                                                           {codes.OutOfRange, fault.ClassPermanent, false, "longer than the server"},
		`grpc: received message larger than max (5000000 vs. 4194304)`:                                                                                                                        {codes.ResourceExhausted, fault.ClassPermanent, false, "longer than the server"},
	} {
		got := rulingOf(want.code, message)
		if got.class != want.class || got.misdirected != want.misdirected || !strings.Contains(got.advice, want.advice) {
			t.Errorf("%s\nis %v (misdirected: %v): %s", message, got.class, got.misdirected, got.advice)
		}
	}
}

// TestNobodyIsToldToChangeAnAddressThatWasRight: what is said of a server that has answered
// before does not ask whether source.amp is right.
func TestNobodyIsToldToChangeAnAddressThatWasRight(t *testing.T) {
	wrong := regexp.MustCompile(`write (grpc|http)s?://|is \$AMP the address|\$ORTLS`)
	for _, r := range ofText {
		switch {
		case wrong.MatchString(r.advice) && r.known == "":
			t.Errorf("nothing else is said of a server that has answered before: %s", r.advice)
		case wrong.MatchString(r.known):
			t.Errorf("this is said of a server that has answered before: %s", r.known)
		}
	}
}
