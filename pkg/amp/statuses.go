package amp

import (
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/fault"
)

// ruling is what is decided about an answer that is an error.
type ruling struct {
	class  fault.Class
	kind   error  // a sentinel of this package, or nil
	advice string // one sentence for the user; empty: the text suffices
	known  string // instead of advice, of a server that has answered before: its address is right; empty: advice

	// misdirected says that the class is for a server that has answered before: of one
	// that never has, the address or the certificates are wrong, and the error is
	// permanent.
	misdirected bool
}

// Sentences that several rulings share. $AMP is the address of the server, $TOKEN what
// to do about the token, $KEEPALIVE the time between two pings, $LIMIT the largest
// message that is accepted, $ORTLS what to write if a server that is asked in plain text
// speaks TLS.
const (
	ofServer = "the server's log says more"
	ofQuery  = "mend source.query; the server will not answer it otherwise"
	ofRow    = "a row of these blocks cannot be computed; " +
		"mend source.query, mostly a cast (TRY_CAST yields NULL instead of the error) or a division"
	ofStorage  = "the server cannot read its own storage; its log says more"
	ofProxy    = "this is the answer of a proxy, or of another server than Amp, at $AMP"
	ofUpstream = "a proxy at $AMP answers, and does not reach Amp behind it"
	ofAddress  = "is $AMP the address of Amp's Arrow Flight (port 1602 by default, not that of another of its services)?"
	ofLength   = "the query is longer than the server, or a proxy before it, " +
		"takes: select from fewer values, or put them into a table of the server"
	ofCut    = "the server, or a proxy before it, has cut the answer"
	ofStream = "it can be loaded as a finite range of blocks, but not followed"
	ofChange = "Amp has answered at $AMP before: look at what was changed there, or at what is before it"
	ofCutOff = "Amp has answered at $AMP before, and now connections end before anything comes from it: " +
		"look whether it runs, and whether what is before it (a proxy, a load balancer) reaches it"
)

// ofCode is what is decided for every code of gRPC where no text says more.
// [fault.ClassLater] is waited for without end, [fault.ClassAgain] until time is up.
var ofCode = map[codes.Code]ruling{
	codes.OK:              {class: fault.ClassAgain, advice: "the server reports a success as an error"},
	codes.Canceled:        {class: fault.ClassAgain, advice: ofCut},
	codes.Unknown:         {class: fault.ClassAgain, advice: ofServer},
	codes.InvalidArgument: {class: fault.ClassPermanent},
	codes.DeadlineExceeded: {class: fault.ClassAgain, advice: "the server, or a proxy before it, " +
		"has a time limit of its own that the answer exceeds; raise it there"},
	codes.NotFound:         {class: fault.ClassPermanent, advice: "something that the query reads does not exist any more"},
	codes.AlreadyExists:    {class: fault.ClassAgain, advice: ofServer},
	codes.PermissionDenied: {class: fault.ClassPermanent, advice: "the token has no right to this; $TOKEN"},
	codes.ResourceExhausted: {class: fault.ClassAgain, kind: ErrTooMuch, advice: "the query needs more memory than the server has, " +
		"or a proxy limits the requests; fewer blocks are asked for"},
	codes.FailedPrecondition: {class: fault.ClassAgain, advice: ofServer},
	codes.Aborted:            {class: fault.ClassAgain, advice: ofServer},
	codes.OutOfRange:         {class: fault.ClassAgain, advice: ofServer},
	codes.Unimplemented:      {class: fault.ClassPermanent, advice: ofAddress},
	codes.Internal:           {class: fault.ClassAgain, advice: ofServer},
	codes.Unavailable:        {class: fault.ClassLater, advice: "is Amp running at $AMP?"},
	codes.DataLoss:           {class: fault.ClassAgain, advice: ofStorage},
	codes.Unauthenticated:    {class: fault.ClassPermanent, advice: "$TOKEN"},
}

// textRuling is a ruling about a text. It goes before that of the code.
type textRuling struct {
	codes []codes.Code   // for which it holds
	text  *regexp.Regexp // of the error, or of one of the causes that it names
	ruling
}

// begins matches a text that begins with one of several.
func begins(with ...string) *regexp.Regexp {
	for i, text := range with {
		with[i] = regexp.QuoteMeta(text)
	}
	return regexp.MustCompile("^(?:" + strings.Join(with, "|") + ")")
}

// contains matches a text of which an expression matches a part.
func contains(expression string) *regexp.Regexp { return regexp.MustCompile(expression) }

// cutOff matches the end of the text of a connection that ended before anything came over it.
const cutOff = ".*(: EOF|connection reset by peer|broken pipe|forcibly closed|use of closed network connection|timeout|deadline exceeded)"

var (
	// byQuery are the codes that Amp, or a proxy that does not keep its code, answers a
	// failed query with (AP 6.2): INTERNAL for a misspelt column as for a lost database.
	byQuery = []codes.Code{codes.Internal, codes.Unknown}
	refused = []codes.Code{codes.InvalidArgument, codes.Internal, codes.Unknown}
	byRoad  = []codes.Code{codes.Unavailable}
	// byProxy are what gRPC makes of an answer that is none of gRPC.
	byProxy = []codes.Code{codes.Internal, codes.Unknown, codes.Unimplemented, codes.Unavailable}
	byReset = []codes.Code{codes.Internal, codes.Unknown, codes.Canceled, codes.Unavailable}
	byCalm  = []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.Unknown}
	byLimit = []codes.Code{codes.ResourceExhausted, codes.OutOfRange, codes.Internal, codes.Unknown}
)

// ofText is what is decided for texts: first queries that run but not as streams (AP
// 3.7), then the errors of DataFusion and of Arrow by the names of their
// kinds, then the way to the server. Of the causes that an error names the outermost
// decides that has a ruling, and of several rulings the first.
var ofText = []textRuling{
	// Not as a stream. The last ones are of datasets of Solana.
	{refused, contains("non-incremental queries are not supported|cross-network join|multiple networks|multi-network streaming|" +
		"selecting `_block_num` from a multi-table context|" +
		"(?i:'?blocks'? table (was )?not found|no raw dataset found|raw dataset not found)"), unstreamable},

	// The query is at fault: DataFusion, with the cast of a literal among its rules, then Amp.
	{byQuery, begins("Error during planning: ", "Schema error: ", "SQL error: ", "sql parser error: ",
		"This feature is not implemented: ", "Invalid or Unsupported Configuration: ", "Substrait error: ",
		"Optimizer rule '", "type_coercion", "simplify_expressions", "No field named", "Invalid function",
		"Projections require unique expression names", "Duplicate field names",
		"amp::invalid_input", "SQL parse error", "failed to convert cursor"), mistaken},
	{byQuery, contains("has not been synced"), ruling{
		class: fault.ClassLater, advice: "the server has not begun to sync a table of the query; start its job there"}},
	{byQuery, contains("Dataset not found|not found in dataset|table '[^']*' not found|" +
		"no dict id for field"), mistaken}, // a dictionary (AP 1.6)

	// A row is at fault: Arrow.
	{byQuery, begins("Cast error: ", "Divide by zero error", "Arithmetic overflow: ", "Compute error: ", "Parser error: ",
		"Invalid argument error: ", "Json error: ", "Csv error: ", "Dictionary key bigger than the key type",
		"Run end encoded array index overflow", "Offset overflow error: "), uncomputed},
	{byQuery, begins("Not yet implemented: "), mistaken},

	// The server is short of something, or cannot read what it has.
	{byQuery, begins("Resources exhausted: ", "Memory error: "), scarce},
	{byQuery, contains("Object at location .* not found"), ruling{
		class: fault.ClassAgain, advice: "a file of the server is missing; its log says more"}},
	{byQuery, begins("Object Store error: ", "IO error: ", "Io error: "), stored},
	{byQuery, begins("Parquet error: ", "Parquet argument error: ", "Avro error: "), ruling{class: fault.ClassAgain, advice: ofStorage}},
	{byQuery, begins("Execution error: ", "ExecutionJoin error: ", "Internal error: ", "FFI error: ", "Ipc error: ",
		"C Data interface error: "), obscure},

	// The length of what is sent. The first is ours (see [Client.oversize]).
	{byLimit, begins("grpc: received message larger than max", "Error, decoded message length too large"),
		ruling{class: fault.ClassPermanent, advice: ofLength}},

	// The way to the server.
	{byCalm, contains("too_many_pings"), ruling{
		class: fault.ClassLater, advice: "the server, or a proxy before it, " +
			"takes fewer pings than one each $KEEPALIVE: raise source.keep_alive, to 6m if you do not know its limit"}},
	{byCalm, contains("ENHANCE_YOUR_CALM"), ruling{
		class: fault.ClassLater, advice: "the server, or a proxy before it, " +
			"limits what one client may ask: lower extract.workers, and raise source.keep_alive"}},
	{byRoad, contains("first record does not look like a TLS handshake"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "the server speaks plain text: " +
			"write grpc:// instead of grpcs:// (http:// instead of https://) in source.amp",
		known: "the server speaks plain text now; " + ofChange}},
	{byRoad, contains(`preface: .*(frame too large|malformed|unexpected frame).*HTTP/1\.1 header`), ruling{
		class: fault.ClassLater, misdirected: true, advice: "what listens there speaks HTTP/1.1, not gRPC; " + ofAddress + "$ORTLS",
		known: "what listens there now speaks HTTP/1.1, not gRPC; " + ofChange}},
	{byRoad, contains("preface: .*frame too large|preface: .*bogus greeting"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "what listens there does not speak plain gRPC: " +
			"write grpcs:// instead of grpc:// in source.amp if it is TLS; else " + ofAddress,
		known: "what listens there now does not speak plain gRPC; " + ofChange}},
	{byRoad, contains("missing selected ALPN property"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "the TLS server does not offer HTTP/2, " +
			"so that it is not Amp's, or its proxy must be set to pass gRPC"}},
	{byRoad, contains("certificate signed by unknown authority"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "name the authority of the server's certificate in source.tls.ca"}},
	{byRoad, contains("x509: certificate (is valid for|is not valid for|relies on legacy)|" +
		"cannot validate certificate for"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "write the host that the certificate is for in source.amp"}},
	{byRoad, contains("certificate has expired or is not yet valid"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "renew the certificate of the server, and look at the clock of this machine"}},
	{byRoad, contains("tls: (certificate required|bad certificate|unknown certificate|" +
		"unknown certificate authority)"), ruling{
		class: fault.ClassLater, misdirected: true, advice: "the server wants a certificate of the client: " +
			"set source.tls.cert and source.tls.key"}},
	{byRoad, contains("authentication handshake failed" + cutOff), ruling{
		class: fault.ClassLater, advice: "the connection ended before anything came from the server: is it running at $AMP? " +
			"If it speaks plain text, write grpc:// instead of grpcs:// (http:// instead of https://) in source.amp",
		known: ofCutOff}},
	{byRoad, contains("authentication handshake failed"), ruling{
		class: fault.ClassLater, advice: "the TLS connection cannot be made: see source.amp and source.tls; " + ofAddress,
		known: "the TLS connection cannot be made any more; " + ofChange}},
	{byRoad, contains("record lookup error|produced zero addresses|no such host"), ruling{
		class: fault.ClassLater, advice: "the host of source.amp cannot be found by its name; " +
			"check it, and the name service of this machine"}},
	// A server that hangs up is noticed by what is read or written first. What is written
	// last of the preface fails with the bare text of the connection. One that says nothing
	// is noticed when grpc closes the connection itself.
	{byRoad, contains("(reading server preface|failed to write (client preface|initial settings frame|window update)|" +
		"^write [a-z0-9]+ )" + cutOff), ruling{
		class: fault.ClassLater, advice: "the connection ended before anything came from the server: " +
			"is Amp running at $AMP, and does a proxy before it reach it?$ORTLS",
		known: ofCutOff}},
	{byRoad, contains("reading server preface: |preface mismatch|initial http2 frame from server is not a settings frame"), ruling{
		class: fault.ClassLater, advice: "something listens there and does not answer as a gRPC server; " + ofAddress + "$ORTLS",
		known: "what listens there now does not answer as a gRPC server; " + ofChange}},
	{byProxy, begins(notFromAmp + ": 404"), ruling{class: fault.ClassAgain, advice: ofProxy}}, // also while it is set up anew
	{byRoad, begins(notFromAmp), ruling{class: fault.ClassLater, advice: ofUpstream}},
	{byProxy, begins(notFromAmp, "malformed header: missing HTTP content-type", "transport: received unexpected content-type"),
		ruling{class: fault.ClassAgain, advice: ofProxy}},
	{byReset, begins("stream terminated by RST_STREAM"), ruling{class: fault.ClassAgain, advice: ofCut}},
	{byQuery, begins("server closed the stream without sending trailers"), ruling{class: fault.ClassAgain, advice: ofCut}},
}

var (
	unstreamable = ruling{class: fault.ClassPermanent, kind: ErrNotStreamable, advice: ofStream}
	mistaken     = ruling{class: fault.ClassPermanent, advice: ofQuery}
	// uncomputed is waited for no longer than until its block is known: see [ErrRow].
	uncomputed = ruling{class: fault.ClassAgain, kind: ErrRow, advice: ofRow}
	scarce     = ruling{class: fault.ClassAgain, kind: ErrTooMuch, advice: "the query needs more memory than the server has; " +
		"fewer blocks are asked for"}
	stored  = ruling{class: fault.ClassLater, advice: ofStorage}
	obscure = ruling{class: fault.ClassAgain, advice: ofServer}
)
