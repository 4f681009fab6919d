package redis

import (
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an error of the server means to the user.
type advice struct {
	class fault.Class
	text  string
	// anew says that the connections are of no use any more: who made them is not let in
	// now, or behind the same address there is another server.
	anew bool
}

const (
	final = fault.ClassPermanent
	later = fault.ClassLater // the sink waits without end, and shows it
	again = fault.ClassAgain // is tried until time is up

	renew, keep = true, false // the connections
)

// The sentences that several errors share.
const (
	ofRights = "the user of the url has not the right to do that; " +
		"ampipe check names what is missing, and the ACL SETUSER line that gives it"
	ofLogin    = "the server does not let this user in; check user and password of the url"
	ofScript   = "the server is busy with a script"
	ofMoving   = "the cluster is moving keys"
	ofMaster   = "the server is a replica without a master"
	ofStart    = "the server is starting"
	ofCluster  = "the server belongs to a Redis Cluster; set cluster: true, or use an endpoint that speaks for all of it"
	ofSentinel = "the Sentinels are not able to do that; their log says more"
	ofUnasked  = "ampipe asks for nothing of the kind; what stands before the server may"
)

// prefixes is what is decided for every first word of an error that Redis, Valkey and
// Sentinel publish.
var prefixes = map[string]advice{
	"NOAUTH":    {final, "the server wants a password; put user and password into the url", renew},
	"WRONGPASS": {final, ofLogin, renew},
	"NOPERM":    {final, ofRights, keep},
	"DENIED": {final, "the server lets only its own machine in; " +
		"give its user a password, or set protected-mode no on a network that you trust", renew},
	"NOPROTO":      {final, "the server does not speak RESP2; use Redis 7 or later, or Valkey", keep},
	"WRONGTYPE":    {final, "a key that is to be written holds something else; remove it, or choose another key", keep},
	"CROSSSLOT":    {final, ofCluster, keep},
	"OOM":          {later, "the server is full; raise its maxmemory, or set ttl", keep},
	"LOADING":      {later, ofStart, keep},
	"BUSY":         {later, ofScript, keep},
	"UNKILLABLE":   {later, ofScript, keep},
	"READONLY":     {later, "the server is a replica and takes no writes", renew},
	"MASTERDOWN":   {later, ofMaster, renew},
	"NOMASTERLINK": {later, ofMaster, renew},
	"REDIRECT":     {later, "the server hands over to another one", renew},
	"UNBLOCKED":    {later, "the server became a replica meanwhile", renew},
	"MISCONF":      {later, "the server cannot write to its disk, and so takes no writes; make room there, its log says more", keep},
	"NOREPLICAS": {later, "the server has too few replicas to take writes; " +
		"bring them back, or lower its min-replicas-to-write", keep},
	"CLUSTERDOWN": {later, "the cluster is down", keep},
	"TRYAGAIN":    {later, ofMoving, keep},
	"MOVED":       {later, ofMoving, keep},
	"ASK":         {later, ofMoving, keep},
	"IOERR":       {later, "the server has lost a connection to another one", keep},
	"NOSCRIPT":    {again, "the server has forgotten the script", keep},
	"NOTBUSY":     {again, ofUnasked, keep},
	"BUSYKEY":     {again, "another program has written the same key", keep},
	"BUSYGROUP":   {again, ofUnasked, keep},
	"NOGROUP":     {again, ofUnasked, keep},
	"NOSUB":       {again, ofUnasked, keep},
	"EXECABORT":   {again, "the server has refused a part of a transaction", keep},
	"INPROG":      {later, "a failover is going on", keep},
	"NOGOODSLAVE": {later, ofSentinel, keep},
	"NOQUORUM":    {later, ofSentinel, keep},
	"NOTREADY":    {later, ofStart, keep},
}

// answersByText are parts of errors that begin with ERR, or come from a proxy, in the order in
// which they are looked for.
var answersByText = []struct {
	advice
	parts []string
}{
	{advice{later, "the server has no connection to spare; raise its maxclients, or lower writers", keep}, []string{"max number of clients"}},
	{advice{later, "an administrator ended the script", keep}, []string{"Script killed by user"}},
	{prefixes["OOM"], []string{"when used memory > 'maxmemory'"}},
	{prefixes["READONLY"], []string{"read only replica", "readonly replica"}},
	{advice{later, "a limit of the provider's plan is reached; raise it, or wait until it is renewed", keep},
		[]string{"daily request limit", "max requests limit", "concurrent connections"}},
	{advice{later, "a proxy before the server does not reach it", renew}, []string{"no upstream host", "upstream failure"}},

	{advice{final, "the stream holds entries that others have added; remove it, or choose another key", keep},
		[]string{"equal or smaller than the target stream top item"}},
	{prefixes["NOPERM"], []string{"The user executing the script can't"}}, // Redis 7.0, of what a script may not do
	{prefixes["WRONGPASS"], []string{"invalid username-password pair", "invalid password"}},
	{advice{final, "the server's default user has no password; take it out of the url", keep},
		[]string{"without any password configured", "no password is set"}},
	{prefixes["NOAUTH"], []string{"unauthenticated"}},
	{advice{final, "the server is not a Redis Cluster; remove cluster: true", keep}, []string{"cluster support disabled"}},
	{advice{final, "a Redis Cluster has the database 0 only; take the number out of the url", keep},
		[]string{"SELECT is not allowed in cluster mode"}},
	{advice{final, "the server has no database of that number; correct the url, or raise its databases", keep},
		[]string{"DB index is out of range", "invalid DB index"}},
	{advice{final, "the server lacks a command that ampipe needs; take it out of rename-command, or use another server", keep},
		[]string{"unknown command", "Unknown Redis command called from"}},
	{advice{final, "the server does not take hashes as Redis 7 writes them; use structure: string", keep},
		[]string{"DUMP payload version or checksum", "Bad data format"}},
	{advice{final, "a row is larger than the server takes; raise its proto-max-bulk-len, or leave columns out", keep},
		[]string{"string exceeds maximum allowed size", "invalid bulk length", "max request size"}},
	{advice{final, ofCluster, keep}, []string{"non local key in a cluster node", "do not hash to the same slot"}},
	{advice{final, "the server does not take ampipe's scripts; use Redis 7 or later, or Valkey", keep},
		[]string{"Error compiling script", "command is not allowed from script"}},
	{advice{final, "what answers there is not Redis; check host and port of the url", keep}, []string{"can't parse", "invalid reply"}},
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
		for _, part := range t.parts {
			if strings.Contains(text, part) {
				return t.advice, true
			}
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

// ofKey reports whether the server refuses to read a key because it holds a value of
// another type: other keys can be read.
func ofKey(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "WRONGTYPE") || strings.Contains(err.Error(), "wrong Redis type")) // RedisJSON's
}
