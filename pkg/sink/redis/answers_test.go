package redis

import (
	"errors"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
)

// published are errors as Redis, Valkey and Sentinel write them, one of each first word
// (server.c, script.c, cluster.c, replication.c, sentinel.c, t_stream.c), and what they
// are.
const published = `
permanent NOAUTH Authentication required.
permanent WRONGPASS invalid username-password pair or user is disabled.
permanent NOPERM User app has no permissions to run the 'hset' command
permanent NOPERM No permissions to access a key
permanent DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.
permanent NOPROTO unsupported protocol version
permanent WRONGTYPE Operation against a key holding the wrong kind of value
permanent CROSSSLOT Keys in request don't hash to the same slot
later OOM command not allowed when used memory > 'maxmemory'.
later LOADING Redis is loading the dataset in memory
later BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.
later UNKILLABLE Sorry the script already executed write commands against the dataset.
later READONLY You can't write against a read only replica.
later MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.
later NOMASTERLINK Can't SYNC while not connected with my master
later REDIRECT 10.0.0.1:6379
later UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)
later MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.
later MISCONF Errors writing to the AOF file: No space left on device
later NOREPLICAS Not enough good replicas to write.
later CLUSTERDOWN Hash slot not served
later TRYAGAIN Multiple keys request during rehashing of slot
later MOVED 3999 127.0.0.1:6381
later ASK 3999 127.0.0.1:6381
later IOERR error or timeout writing to target instance
later INPROG Failover already in progress
later NOGOODSLAVE No suitable replica to promote
later NOQUORUM 1 usable Sentinels. Not able to reach quorum
later NOTREADY the server is starting
again NOSCRIPT No matching script. Please use EVAL.
again NOTBUSY No scripts in execution right now.
again BUSYKEY Target key name already exists.
again BUSYGROUP Consumer Group name already exists
again NOGROUP No such key 'a' or consumer group 'b'
again NOSUB 'SUBSCRIBE' needs a channel
again EXECABORT Transaction discarded because of previous errors.

permanent ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value
later ERR Error running script (call to f_1): @user_script:12: -OOM command not allowed when used memory > 'maxmemory'.
later ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.
permanent NOPERM The user executing the script can't access at least one of the keys mentioned in the command arguments script: 1, on @user_script:1.
permanent ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1.
permanent WRONGTYPE Operation against a key holding the wrong kind of value script: 1, on @user_script:3.
later EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.
later EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.
later OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'
later READONLY Can not run script with write flag on readonly replica.
later ERR max number of clients reached
later ERR max number of clients + cluster connections reached
later ERR Error running script (call to f_1): @user_script:1: Script killed by user with SCRIPT KILL...
later ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.
later upstream failure: no upstream host
permanent ERR unknown command 'HSET', with args beginning with: 'OOM' 'x'
permanent ERR Unknown Redis command called from script script: 1, on @user_script:1.
permanent ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
permanent ERR Client sent AUTH, but no password is set
permanent ERR DB index is out of range
permanent ERR SELECT is not allowed in cluster mode
permanent ERR This instance has cluster support disabled
permanent ERR The ID specified in XADD is equal or smaller than the target stream top item
permanent ERR DUMP payload version or checksum are wrong
permanent ERR string exceeds maximum allowed size (proto-max-bulk-len)
permanent ERR Protocol error: invalid bulk length
permanent ERR Protocol error: unauthenticated bulk length
permanent ERR Script attempted to access a non local key in a cluster node
permanent ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'
permanent redis: invalid reply: "HTTP/1.1 400 Bad Request"
`

// TestEveryErrorOfTheServerIsDecided fails for a published first word that nobody has
// decided about, and for one that is decided and not published.
func TestEveryErrorOfTheServerIsDecided(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for line := range strings.Lines(published) {
		class, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		want := map[string]fault.Class{"permanent": fault.ClassPermanent, "later": fault.ClassLater, "again": fault.ClassAgain}[class]
		word, _, _ := strings.Cut(text, " ")
		seen[word] = true
		a, known := adviceFor(text)
		err := classify("write rows", errors.New(text))
		if !known || a.text == "" || a.class != want || fault.Of(err) != want || !strings.HasPrefix(err.Error(), "write rows: "+a.text+": ") {
			t.Errorf("%q is classed as %v: %v", text, fault.Of(err), err)
		}
	}
	for word := range prefixes {
		if !seen[word] {
			t.Errorf("%s is decided, and no text of it is known", word)
		}
	}
	if _, known := adviceFor("ERR something new"); known {
		t.Error("an error that is new is taken for a known one")
	}
}

// TestWhichErrorsEndAConnection names those after which what is connected is of no use.
func TestWhichErrorsEndAConnection(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"READONLY You can't write against a read only replica.":                                 true,
		"EXECABORT Transaction discarded because of: READONLY You can't":                        true,
		"NOAUTH Authentication required.":                                                       true,
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":      true,
		"OOM command not allowed when used memory > 'maxmemory'.":                               false,
		"NOPERM User app has no permissions to run the 'hset' command":                          false,
		"MISCONF Errors writing to the AOF file: No space left on device":                       false,
		"WRONGTYPE Operation against a key holding the wrong kind of value":                     false,
		"ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write ...": true,
	} {
		if a, _ := adviceFor(text); a.anew != want {
			t.Errorf("%s: %v, want %v", text, a.anew, want)
		}
	}
}
