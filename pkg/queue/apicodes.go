package queue

import (
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an error of NATS means to the user.
type advice struct {
	class fault.Class
	text  string // what it means, or what to do; empty: the error suffices
}

// decision is the advice for some codes of the JetStream API, or errors of a client library.
type decision[T any] struct {
	advice
	of []T
}

// adviceFor returns the advice of the decision about what is asked for.
func adviceFor[T any](all []decision[T], is func(T) bool) (a advice, known bool) {
	for _, d := range all {
		if slices.ContainsFunc(d.of, is) {
			return d.advice, true
		}
	}
	return advice{}, false
}

// decisions are the advice for every error code that nats-server publishes (its
// server/errors.json). What is to be waited for is [fault.ClassLater]: it is shown, and
// repeated without end. [fault.ClassAgain] is repeated until time is up, or is an answer
// that the caller understands.
var decisions = []decision[jetstream.ErrorCode]{
	{advice{fault.ClassLater, "NATS has no storage left: " +
		"raise max_file_store of the server or max_file of the account, or delete streams that are not needed"},
		[]jetstream.ErrorCode{codeAccountResources, codeNoCapacity, codeNoStorage}},
	{advice{fault.ClassLater, "NATS has no memory left for it: raise max_memory_store of the server"}, []jetstream.ErrorCode{10028}},
	{advice{fault.ClassLater, "NATS could not store it: its own log says why, mostly a disk that is full or a folder that was removed"},
		[]jetstream.ErrorCode{codeStoreFailed, 10104}},
	{advice{fault.ClassLater, "servers of the NATS cluster are away or have no room: start them, or lower nats.replicas"},
		[]jetstream.ErrorCode{codeNoPeers, 10004, 10007, codeNoLeader, 10009, 10041, 10044, 10040, 10048, 10075, 10118, 10119,
			10194, 10195, 10202, 10224}},
	{advice{fault.ClassLater, "the stream is being moved or changed by somebody"}, []jetstream.ErrorCode{10123, 10124, 10129, 10226}},
	{advice{fault.ClassLater, "NATS is busy"}, []jetstream.ErrorCode{codeTooManyRequests, codeTooManyBatches, 10158, 10163, 10211}},
	{advice{fault.ClassLater, "JetStream is off: start the NATS server with -js, " +
		"or put a jetstream section into its configuration"}, []jetstream.ErrorCode{10076}},
	{advice{fault.ClassLater, "JetStream is off for this NATS account: " +
		"enable it in the account's limits"}, []jetstream.ErrorCode{10035, 10039}},
	{advice{fault.ClassLater, "the stream or the consumer was deleted; " +
		"the planner makes streams anew, and sinks and workers their consumers"},
		[]jetstream.ErrorCode{10014, 10059, 10149, 10225}},
	{advice{fault.ClassLater, "somebody has changed ampipe's streams: " +
		"start the planner again, which puts them right"}, []jetstream.ErrorCode{10174}},
	{advice{fault.ClassLater, "NATS reports an error of its own; its log says more"},
		[]jetstream.ErrorCode{10012, 10049, 10050, 10051, 10057, 10069, 10072, 10096, 10110, 10111}},

	{advice{fault.ClassPermanent, "the NATS account has a limit that is too small: " +
		"raise max_consumers of the account"}, []jetstream.ErrorCode{10026}},
	{advice{fault.ClassPermanent, "raise max_streams of the NATS account, " +
		"or delete a stream that is not needed"}, []jetstream.ErrorCode{codeTooManyStreams}},
	{advice{fault.ClassPermanent, "the NATS account has no limits for so many replicas: " +
		"set nats.replicas to another number, or give the account limits for it"}, []jetstream.ErrorCode{10120}},
	{advice{fault.ClassPermanent, "lower log.max_bytes, " +
		"or raise disk_max_stream_bytes of the NATS account"}, []jetstream.ErrorCode{codeStreamTooLarge}},
	{advice{fault.ClassPermanent, "raise max_ack_pending of the NATS account and of the server"}, []jetstream.ErrorCode{10121}},
	{advice{fault.ClassPermanent, "raise max_request_batch of the NATS server"}, []jetstream.ErrorCode{10125}},
	{advice{fault.ClassPermanent, "nats.replicas above 1 needs a NATS cluster: " +
		"set nats.replicas to 1, or name servers of a cluster in nats.url"},
		[]jetstream.ErrorCode{10006, 10010, 10036, 10074, 10061}},
	{advice{fault.ClassPermanent, "raise max_payload of the NATS server"}, []jetstream.ErrorCode{10054, 10097}},
	{advice{fault.ClassPermanent, "raise max_batch_size in the limits of the NATS server's jetstream section"}, []jetstream.ErrorCode{10199}},
	{advice{fault.ClassPermanent, "another program has a stream of that name or on these subjects: " +
		"delete it, or use an account of its own for ampipe"},
		[]jetstream.ErrorCode{10052, 10053, 10056, 10060, 10065, 10093, 10099, 10100, 10109}},
	{advice{fault.ClassPermanent, "the NATS server is too old for this version of ampipe: upgrade it"}, []jetstream.ErrorCode{10157, 10185}},

	// Answers that the caller understands.
	{advice{fault.ClassAgain, ""}, []jetstream.ErrorCode{
		10013, 10037, 10043, 10058, 10063, 10070, 10071, 10105, 10148, 10164, 10176, 10180, 10193, 10200, 10201,
	}},

	{advice{fault.ClassPermanent, "the NATS server does not take a request of ampipe's: " +
		"if it is NATS 2.12 or later and nobody has changed ampipe's streams, this is a bug: report it"},
		[]jetstream.ErrorCode{
			10003, 10011, 10016, 10017, 10018, 10019, 10020, 10025, 10038, 10078, 10079, 10080, 10081, 10082, 10083, 10084, 10085, 10086,
			10087, 10088, 10089, 10090, 10091, 10092, 10094, 10095, 10098, 10101, 10102, 10103, 10106, 10107, 10108, 10112, 10113, 10114,
			10115, 10116, 10117, 10126, 10127, 10128, 10131, 10132, 10133, 10134, 10135, 10136, 10137, 10138, 10139, 10153, 10159, 10160,
			10161, 10162, 10175, 10177, 10178, 10179, 10181, 10182, 10183, 10184, 10196, 10197, 10204,
		}},

	// What ampipe never asks for: mirrors and sources of streams, templates, backups,
	// transformed subjects, counters, schedules, times to live, fast batches.
	{advice{fault.ClassPermanent, "this belongs to something that ampipe does not use in NATS: look who changes ampipe's streams"},
		[]jetstream.ErrorCode{
			10015, 10021, 10022, 10024, 10029, 10030, 10031, 10032, 10033, 10034, 10042, 10045, 10046, 10055, 10062, 10064, 10066, 10067,
			10068, 10073, 10130, 10140, 10141, 10142, 10143, 10144, 10145, 10146, 10147, 10150, 10151, 10152, 10154, 10155, 10156, 10165,
			10166, 10168, 10169, 10170, 10171, 10172, 10173, 10186, 10187, 10188, 10189, 10190, 10191, 10192, 10198, 10203, 10205, 10206,
			10207, 10208, 10209, 10212, 10213, 10214, 10215, 10216, 10217, 10218, 10219, 10220, 10221, 10222, 10223, 10227, 10228,
		}},
}
