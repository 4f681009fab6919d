package amp

import (
	"regexp"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/fault"
)

// ruling is what is decided about an answer that is an error.
type ruling struct {
	class  fault.Class
	kind   error  // a sentinel of this package, or nil
	advice string // one sentence for the user; empty: the text suffices

	// misdirected says that the class is for a server that has answered before: of one
	// that never has, the address or the certificates are wrong, and the error is
	// permanent.
	misdirected bool
}

// Sentences that several rulings share. $AMP is the address of the server, $TOKEN what
// to do about the token, $KEEPALIVE the time between two pings, $LIMIT the largest
// message that is accepted.
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
	// begins is how the error, or one of the causes that it names, begins; contains
	// matches a part of it. One of them is given.
	begins   string
	contains *regexp.Regexp
	codes    []codes.Code // for which it holds
	ruling
}

var (
	// byQuery are the codes that Amp, or a proxy that does not keep its code, answers a
	// failed query with (AP 6.2): INTERNAL for a misspelt column as for a lost database.
	byQuery = []codes.Code{codes.Internal, codes.Unknown}
	refused = []codes.Code{codes.InvalidArgument, codes.Internal, codes.Unknown}
	byRoad  = []codes.Code{codes.Unavailable}
	// byProxy are what gRPC makes of an answer that is none of gRPC.
	byProxy = []codes.Code{codes.Internal, codes.Unknown, codes.Unimplemented, codes.Unavailable}
	byCalm  = []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.Unknown}
	byLimit = []codes.Code{codes.ResourceExhausted, codes.OutOfRange, codes.Internal, codes.Unknown}
)

// ofText is what is decided for texts: first queries that run but not as streams (AP
// 3.7), then the errors of DataFusion and of Arrow by the names of their
// kinds, then the way to the server. Of the causes that an error names the outermost
// decides that has a ruling, and of several rulings the first.
var ofText = []textRuling{
	// Not as a stream.
	{contains: regexp.MustCompile("non-incremental queries are not supported"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("cross-network join"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("multiple networks"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("multi-network streaming"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("selecting `_block_num` from a multi-table context"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("(?i)'?blocks'? table (was )?not found"), codes: refused, ruling: unstreamable}, // datasets of Solana
	{contains: regexp.MustCompile("(?i)no raw dataset found"), codes: refused, ruling: unstreamable},
	{contains: regexp.MustCompile("(?i)raw dataset not found"), codes: refused, ruling: unstreamable},

	// The query is at fault: DataFusion.
	{begins: "Error during planning: ", codes: byQuery, ruling: mistaken},
	{begins: "Schema error: ", codes: byQuery, ruling: mistaken},
	{begins: "SQL error: ", codes: byQuery, ruling: mistaken},
	{begins: "sql parser error: ", codes: byQuery, ruling: mistaken},
	{begins: "This feature is not implemented: ", codes: byQuery, ruling: mistaken},
	{begins: "Invalid or Unsupported Configuration: ", codes: byQuery, ruling: mistaken},
	{begins: "Substrait error: ", codes: byQuery, ruling: mistaken},
	{begins: "Optimizer rule '", codes: byQuery, ruling: mistaken}, // the cast of a literal
	{begins: "type_coercion", codes: byQuery, ruling: mistaken},
	{begins: "simplify_expressions", codes: byQuery, ruling: mistaken},
	{begins: "No field named", codes: byQuery, ruling: mistaken},
	{begins: "Invalid function", codes: byQuery, ruling: mistaken},
	{begins: "Projections require unique expression names", codes: byQuery, ruling: mistaken},
	{begins: "Duplicate field names", codes: byQuery, ruling: mistaken},
	// Amp.
	{begins: "amp::invalid_input", codes: byQuery, ruling: mistaken},
	{begins: "SQL parse error", codes: byQuery, ruling: mistaken},
	{begins: "failed to convert cursor", codes: byQuery, ruling: mistaken},
	{contains: regexp.MustCompile("has not been synced"), codes: byQuery, ruling: ruling{
		class: fault.ClassLater, advice: "the server has not begun to sync a table of the query; start its job there"}},
	{contains: regexp.MustCompile("Dataset not found"), codes: byQuery, ruling: mistaken},
	{contains: regexp.MustCompile("not found in dataset"), codes: byQuery, ruling: mistaken},
	{contains: regexp.MustCompile("table '[^']*' not found"), codes: byQuery, ruling: mistaken},
	{contains: regexp.MustCompile("no dict id for field"), codes: byQuery, ruling: mistaken}, // a dictionary (AP 1.6)

	// A row is at fault: Arrow.
	{begins: "Cast error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Divide by zero error", codes: byQuery, ruling: uncomputed},
	{begins: "Arithmetic overflow: ", codes: byQuery, ruling: uncomputed},
	{begins: "Compute error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Parser error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Invalid argument error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Json error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Csv error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Dictionary key bigger than the key type", codes: byQuery, ruling: uncomputed},
	{begins: "Run end encoded array index overflow", codes: byQuery, ruling: uncomputed},
	{begins: "Offset overflow error: ", codes: byQuery, ruling: uncomputed},
	{begins: "Not yet implemented: ", codes: byQuery, ruling: mistaken},

	// The server is short of something, or cannot read what it has.
	{begins: "Resources exhausted: ", codes: byQuery, ruling: scarce},
	{begins: "Memory error: ", codes: byQuery, ruling: scarce},
	{contains: regexp.MustCompile("Object at location .* not found"), codes: byQuery, ruling: ruling{
		class: fault.ClassAgain, advice: "a file of the server is missing; its log says more"}},
	{begins: "Object Store error: ", codes: byQuery, ruling: stored},
	{begins: "IO error: ", codes: byQuery, ruling: stored},
	{begins: "Io error: ", codes: byQuery, ruling: stored},
	{begins: "Parquet error: ", codes: byQuery, ruling: ruling{class: fault.ClassAgain, advice: ofStorage}},
	{begins: "Parquet argument error: ", codes: byQuery, ruling: ruling{class: fault.ClassAgain, advice: ofStorage}},
	{begins: "Avro error: ", codes: byQuery, ruling: ruling{class: fault.ClassAgain, advice: ofStorage}},
	{begins: "Execution error: ", codes: byQuery, ruling: obscure},
	{begins: "ExecutionJoin error: ", codes: byQuery, ruling: obscure},
	{begins: "Internal error: ", codes: byQuery, ruling: obscure},
	{begins: "FFI error: ", codes: byQuery, ruling: obscure},
	{begins: "Ipc error: ", codes: byQuery, ruling: obscure},
	{begins: "C Data interface error: ", codes: byQuery, ruling: obscure},

	// The length of what is sent. The first is ours (see [Client.oversize]).
	{begins: "grpc: received message larger than max", codes: byLimit, ruling: ruling{class: fault.ClassPermanent, advice: ofLength}},
	{begins: "Error, decoded message length too large", codes: byLimit, ruling: ruling{class: fault.ClassPermanent, advice: ofLength}},

	// The way to the server.
	{contains: regexp.MustCompile("too_many_pings"), codes: byCalm, ruling: ruling{
		class: fault.ClassLater, advice: "the server, or a proxy before it, " +
			"takes fewer pings than one each $KEEPALIVE: raise source.keep_alive, to 6m if you do not know its limit"}},
	{contains: regexp.MustCompile("ENHANCE_YOUR_CALM"), codes: byCalm, ruling: ruling{
		class: fault.ClassLater, advice: "the server, or a proxy before it, " +
			"limits what one client may ask: lower extract.workers, and raise source.keep_alive"}},
	{contains: regexp.MustCompile("first record does not look like a TLS handshake"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "the server speaks plain text: " +
			"write grpc:// instead of grpcs:// (http:// instead of https://) in source.amp"}},
	{contains: regexp.MustCompile(`preface: .*(frame too large|malformed|unexpected frame).*HTTP/1\.1 header`), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "what listens there speaks HTTP/1.1, not gRPC; " + ofAddress}},
	{contains: regexp.MustCompile("preface: .*frame too large|preface: .*bogus greeting"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "what listens there does not speak plain gRPC: " +
			"write grpcs:// instead of grpc:// in source.amp if it is TLS; else " + ofAddress}},
	{contains: regexp.MustCompile("missing selected ALPN property"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "the TLS server does not offer HTTP/2, " +
			"so that it is not Amp's, or its proxy must be set to pass gRPC"}},
	{contains: regexp.MustCompile("certificate signed by unknown authority"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "name the authority of the server's certificate in source.tls.ca"}},
	{contains: regexp.MustCompile("x509: certificate (is valid for|is not valid for|relies on legacy)|" +
		"cannot validate certificate for"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "write the host that the certificate is for in source.amp"}},
	{contains: regexp.MustCompile("certificate has expired or is not yet valid"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "renew the certificate of the server, and look at the clock of this machine"}},
	{contains: regexp.MustCompile("tls: (certificate required|bad certificate|unknown certificate|" +
		"unknown certificate authority)"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, misdirected: true, advice: "the server wants a certificate of the client: " +
			"set source.tls.cert and source.tls.key"}},
	{contains: regexp.MustCompile("authentication handshake failed"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, advice: "the TLS connection cannot be made: see source.amp and source.tls; " + ofAddress}},
	{contains: regexp.MustCompile("record lookup error|produced zero addresses|no such host"), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, advice: "the host of source.amp cannot be found by its name; " +
			"check it, and the name service of this machine"}},
	{contains: regexp.MustCompile("reading server preface: "), codes: byRoad, ruling: ruling{
		class: fault.ClassLater, advice: "something listens there and does not answer as a gRPC server: " +
			"write grpcs:// instead of grpc:// in source.amp if it speaks TLS; else " + ofAddress}},
	{begins: notFromAmp + ": 404", codes: byProxy, ruling: ruling{class: fault.ClassAgain, advice: ofProxy}}, // also while it is set up anew
	{begins: notFromAmp, codes: byRoad, ruling: ruling{class: fault.ClassLater, advice: ofUpstream}},
	{begins: notFromAmp, codes: byProxy, ruling: ruling{class: fault.ClassAgain, advice: ofProxy}},
	{begins: "malformed header: missing HTTP content-type", codes: byProxy, ruling: ruling{class: fault.ClassAgain, advice: ofProxy}},
	{begins: "transport: received unexpected content-type", codes: byProxy, ruling: ruling{class: fault.ClassAgain, advice: ofProxy}},
	{begins: "stream terminated by RST_STREAM", codes: []codes.Code{
		codes.Internal, codes.Unknown, codes.Canceled, codes.Unavailable,
	}, ruling: ruling{class: fault.ClassAgain, advice: ofCut}},
	{begins: "server closed the stream without sending trailers", codes: byQuery, ruling: ruling{class: fault.ClassAgain, advice: ofCut}},
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
