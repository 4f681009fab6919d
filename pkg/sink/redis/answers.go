package redis

import (
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an error of the server means to the user. What is to be waited for is
// [fault.ClassLater]: the sink waits without end, and shows it. [fault.ClassAgain] is
// tried until time is up.
type advice struct {
	class fault.Class
	text  string
	// anew says that the connections are of no use any more: who made them is not let in
	// now, or behind the same address there is another server.
	anew bool
}

// The sentences that several errors share.
const (
	ofRights = "the user of the url has not the right to do that; " +
		"ampipe check names what is missing, and the ACL SETUSER line that gives it"
	ofLogin    = "the server does not let this user in; check user and password of the url"
	ofScript   = "the server is busy with a script"
	ofCluster  = "the server belongs to a Redis Cluster; set cluster: true, or use an endpoint that speaks for all of it"
	ofSentinel = "the Sentinels are not able to do that; their log says more"
	ofUnasked  = "ampipe asks for nothing of the kind; what stands before the server may"
	ofQuota    = "a limit of the provider's plan is reached; raise it, or wait until it is renewed"
	ofRow      = "a row is larger than the server takes; raise its proto-max-bulk-len, or leave columns out"
)

// prefixes is what is decided for every first word of an error that Redis, Valkey and
// Sentinel publish.
var prefixes = map[string]advice{
	"NOAUTH":    {class: fault.ClassPermanent, text: "the server wants a password; put user and password into the url", anew: true},
	"WRONGPASS": {class: fault.ClassPermanent, text: ofLogin, anew: true},
	"NOPERM":    {class: fault.ClassPermanent, text: ofRights},
	"DENIED": {class: fault.ClassPermanent, text: "the server lets only its own machine in; " +
		"give its user a password, or set protected-mode no on a network that you trust", anew: true},
	"NOPROTO": {class: fault.ClassPermanent, text: "the server does not speak RESP2; use Redis 7 or later, or Valkey"},
	"WRONGTYPE": {class: fault.ClassPermanent, text: "a key that is to be written holds something else; " +
		"remove it, or choose another key"},
	"CROSSSLOT":    {class: fault.ClassPermanent, text: ofCluster},
	"OOM":          {class: fault.ClassLater, text: "the server is full; raise its maxmemory, or set ttl"},
	"LOADING":      {class: fault.ClassLater, text: "the server is starting"},
	"BUSY":         {class: fault.ClassLater, text: ofScript},
	"UNKILLABLE":   {class: fault.ClassLater, text: ofScript},
	"READONLY":     {class: fault.ClassLater, text: "the server is a replica and takes no writes", anew: true},
	"MASTERDOWN":   {class: fault.ClassLater, text: "the server is a replica without a master", anew: true},
	"NOMASTERLINK": {class: fault.ClassLater, text: "the server is a replica without a master", anew: true},
	"REDIRECT":     {class: fault.ClassLater, text: "the server hands over to another one", anew: true},
	"UNBLOCKED":    {class: fault.ClassLater, text: "the server became a replica meanwhile", anew: true},
	"MISCONF": {class: fault.ClassLater, text: "the server cannot write to its disk, and so takes no writes; " +
		"make room there, its log says more"},
	"NOREPLICAS": {class: fault.ClassLater, text: "the server has too few replicas to take writes; " +
		"bring them back, or lower its min-replicas-to-write"},
	"CLUSTERDOWN": {class: fault.ClassLater, text: "the cluster is down"},
	"TRYAGAIN":    {class: fault.ClassLater, text: "the cluster is moving keys"},
	"MOVED":       {class: fault.ClassLater, text: "the cluster is moving keys"},
	"ASK":         {class: fault.ClassLater, text: "the cluster is moving keys"},
	"IOERR":       {class: fault.ClassLater, text: "the server has lost a connection to another one"},
	"NOSCRIPT":    {class: fault.ClassAgain, text: "the server has forgotten the script"},
	"NOTBUSY":     {class: fault.ClassAgain, text: ofUnasked},
	"BUSYKEY":     {class: fault.ClassAgain, text: "another program has written the same key"},
	"BUSYGROUP":   {class: fault.ClassAgain, text: ofUnasked},
	"NOGROUP":     {class: fault.ClassAgain, text: ofUnasked},
	"NOSUB":       {class: fault.ClassAgain, text: ofUnasked},
	"EXECABORT":   {class: fault.ClassAgain, text: "the server has refused a part of a transaction"},
	"INPROG":      {class: fault.ClassLater, text: "a failover is going on"},
	"NOGOODSLAVE": {class: fault.ClassLater, text: ofSentinel},
	"NOQUORUM":    {class: fault.ClassLater, text: ofSentinel},
	"NOTREADY":    {class: fault.ClassLater, text: "the server is starting"},
}

// answersByText are parts of errors that begin with ERR, or come from a proxy, in the order in
// which they are looked for.
var answersByText = []struct {
	part string
	advice
}{
	{"max number of clients", advice{class: fault.ClassLater, text: "the server has no connection to spare; " +
		"raise its maxclients, or lower writers"}},
	{"Script killed by user", advice{class: fault.ClassLater, text: "an administrator ended the script"}},
	{"when used memory > 'maxmemory'", prefixes["OOM"]},
	{"read only replica", prefixes["READONLY"]},
	{"readonly replica", prefixes["READONLY"]},
	{"daily request limit", advice{class: fault.ClassLater, text: ofQuota}},
	{"max requests limit", advice{class: fault.ClassLater, text: ofQuota}},
	{"concurrent connections", advice{class: fault.ClassLater, text: ofQuota}},
	{"no upstream host", advice{class: fault.ClassLater, text: "a proxy before the server does not reach it", anew: true}},
	{"upstream failure", advice{class: fault.ClassLater, text: "a proxy before the server does not reach it", anew: true}},

	{"equal or smaller than the target stream top item", advice{class: fault.ClassPermanent, text: "the stream holds entries " +
		"that others have added; remove it, or choose another key"}},
	{"The user executing the script can't", prefixes["NOPERM"]}, // Redis 7.0, of what a script may not do
	{"invalid username-password pair", prefixes["WRONGPASS"]},
	{"invalid password", prefixes["WRONGPASS"]},
	{"without any password configured", advice{class: fault.ClassPermanent, text: "the server's default user has no password; " +
		"take it out of the url"}},
	{"no password is set", advice{class: fault.ClassPermanent, text: "the server's default user has no password; take it out of the url"}},
	{"unauthenticated", prefixes["NOAUTH"]},
	{"cluster support disabled", advice{class: fault.ClassPermanent, text: "the server is not a Redis Cluster; remove cluster: true"}},
	{"SELECT is not allowed in cluster mode", advice{class: fault.ClassPermanent, text: "a Redis Cluster has the database 0 only; " +
		"take the number out of the url"}},
	{"DB index is out of range", advice{class: fault.ClassPermanent, text: "the server has no database of that number; " +
		"correct the url, or raise its databases"}},
	{"invalid DB index", advice{class: fault.ClassPermanent, text: "the server has no database of that number; " +
		"correct the url, or raise its databases"}},
	{"unknown command", advice{class: fault.ClassPermanent, text: "the server lacks a command that ampipe needs; " +
		"take it out of rename-command, or use another server"}},
	{"Unknown Redis command called from", advice{class: fault.ClassPermanent, text: "the server lacks a command that ampipe needs; " +
		"take it out of rename-command, or use another server"}},
	{"DUMP payload version or checksum", advice{class: fault.ClassPermanent, text: "the server does not take hashes as Redis 7 " +
		"writes them; use structure: string"}},
	{"Bad data format", advice{class: fault.ClassPermanent, text: "the server does not take hashes as Redis 7 writes them; " +
		"use structure: string"}},
	{"string exceeds maximum allowed size", advice{class: fault.ClassPermanent, text: ofRow}},
	{"invalid bulk length", advice{class: fault.ClassPermanent, text: ofRow}},
	{"max request size", advice{class: fault.ClassPermanent, text: ofRow}},
	{"non local key in a cluster node", advice{class: fault.ClassPermanent, text: ofCluster}},
	{"do not hash to the same slot", advice{class: fault.ClassPermanent, text: ofCluster}},
	{"Error compiling script", advice{class: fault.ClassPermanent, text: "the server does not take ampipe's scripts; " +
		"use Redis 7 or later, or Valkey"}},
	{"command is not allowed from script", advice{class: fault.ClassPermanent, text: "the server does not take ampipe's scripts; " +
		"use Redis 7 or later, or Valkey"}},
	{"can't parse", advice{class: fault.ClassPermanent, text: "what answers there is not Redis; check host and port of the url"}},
	{"invalid reply", advice{class: fault.ClassPermanent, text: "what answers there is not Redis; check host and port of the url"}},
}

// adviceFor returns what is decided for the text of an error: by its first word or, in
// what a script or a transaction says of a command in it, by a word further on.
func adviceFor(text string) (advice, bool) {
	word, rest, _ := strings.Cut(text, " ")
	a, known := prefixes[word]
	if known && word != "EXECABORT" {
		return a, true
	}
	for _, t := range answersByText {
		if strings.Contains(text, t.part) {
			return t.advice, true
		}
	}
	if word == "ERR" || known || strings.HasPrefix(word, "@") {
		for inner := range strings.FieldsSeq(rest) {
			if a, nested := prefixes[strings.TrimPrefix(inner, "-")]; nested {
				return a, true
			}
		}
	}
	return a, known
}
