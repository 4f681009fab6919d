package postgres

import "github.com/ampipe/ampipe/pkg/fault"

// advice is what an SQLSTATE, or the class of its first two digits, means to
// the user.
type advice struct {
	class fault.Class
	text  string
}

// The sentences that several SQLSTATEs share.
const (
	ofFunction = "a trigger, or a function that the table calls, raised an error; mend or drop it, and start this sink again " +
		"(\\d of the table shows its triggers, SELECT evtname, evtfoid::regproc FROM pg_event_trigger those of the database)"
	ofStatement = "the server does not take a statement of ampipe's; if it is PostgreSQL 12 or later, this is a bug: report it"
	ofPrepared  = "a pooler hands the connection on between statements; write default_query_exec_mode=exec (or pgbouncer=true) into the dsn"
	ofForeign   = "the foreign server behind the table refuses"
)

// advices is what is decided for every SQLSTATE that PostgreSQL publishes (appendix A
// of its documentation): for all of a class, or for one of it. What is to be waited for
// is [fault.ClassLater]: the sink waits without end, shows it, and takes new connections,
// since a session may carry the refusal in itself. [fault.ClassAgain] is tried until
// time is up. A value or a row that is refused (classes 22, 23 and 54) is looked
// for, and stops the sink at that row.
var advices = map[string]advice{
	"00": {fault.ClassAgain, "the server reports a success as an error"},
	"01": {fault.ClassAgain, "the server reports a warning as an error"},
	"02": {fault.ClassPermanent, ofFunction},
	"03": {fault.ClassAgain, "the connection was used by two at once"},

	"08":    {fault.ClassLater, "the connection was lost"},
	"08P01": {fault.ClassLater, "the server, or a pooler before it, breaks the protocol; its log says why. If the message names a startup parameter, take that out of the dsn"},

	"09": {fault.ClassPermanent, ofFunction},
	"0A": {fault.ClassPermanent, "this server cannot do that; start this sink again to have the table checked"},
	"0B": {fault.ClassPermanent, ofStatement},
	"0F": {fault.ClassPermanent, ofFunction},
	"0L": {fault.ClassPermanent, ofFunction},
	"0P": {fault.ClassPermanent, "a role does not exist any more; start this sink again"},
	"0Z": {fault.ClassPermanent, ofFunction},

	"20": {fault.ClassPermanent, ofFunction},
	"21": {fault.ClassPermanent, ofFunction},
	"22": {fault.ClassPermanent, "the server refuses a value"},
	"23": {fault.ClassPermanent, "a constraint of the table refuses a row; drop the constraint, or filter such rows out in the query"},
	"23503": {fault.ClassPermanent, "a foreign key refuses a row, or that a reorg removes one; " +
		"drop it, or, if it belongs to another table that refers to this one, make it ON DELETE CASCADE"},
	"23001": {fault.ClassPermanent, "a foreign key of another table refuses that a reorg removes a row; make it ON DELETE CASCADE, or drop it"},
	"24":    {fault.ClassPermanent, ofFunction},

	"25":    {fault.ClassAgain, "a transaction was left in a state that ampipe does not know"},
	"25006": {fault.ClassLater, "the server takes no writes: it is a standby, or set to read only"},
	"25P03": {fault.ClassLater, "this process stood still within a transaction, so the server ended it"},
	"25P04": {fault.ClassLater, "the transaction took longer than transaction_timeout allows; raise it for the user of the dsn"},

	"26":    {fault.ClassPermanent, ofPrepared},
	"42P05": {fault.ClassPermanent, ofPrepared},

	"27": {fault.ClassPermanent, "a trigger changed the rows that were being changed; mend or drop it, and start this sink again"},
	"28": {fault.ClassPermanent, "the server does not let this user in; check user and password of the dsn, and pg_hba.conf on the server"},
	"2B": {fault.ClassPermanent, ofFunction},
	"2D": {fault.ClassPermanent, ofFunction},
	"2F": {fault.ClassPermanent, ofFunction},
	"34": {fault.ClassPermanent, ofFunction},
	"38": {fault.ClassPermanent, ofFunction},
	"39": {fault.ClassPermanent, ofFunction},
	"3B": {fault.ClassPermanent, ofFunction},
	"3D": {fault.ClassPermanent, "the database of the dsn does not exist; create it, or name another one"},
	"3F": {fault.ClassPermanent, "a schema does not exist any more; start this sink again"},

	"40":    {fault.ClassLater, "another transaction was in the way"},
	"40002": {fault.ClassPermanent, "a constraint of the table refuses a row; drop the constraint, or filter such rows out in the query"},

	"42":    {fault.ClassPermanent, "the table is not what it was when this sink was started; start it again to have it checked"},
	"42501": {fault.ClassPermanent, "the user of the dsn has not the right to do that; grant it, or BYPASSRLS if the message speaks of row-level security"},
	"44":    {fault.ClassPermanent, "the table is a view whose WITH CHECK OPTION refuses a row; load a table, or filter such rows out in the query"},

	"53":    {fault.ClassLater, "the server is out of resources"},
	"53100": {fault.ClassLater, "the disk of the server is full"},
	"53300": {fault.ClassLater, "the server has no connection to spare; raise its max_connections, or lower writers"},
	"53400": {fault.ClassLater, "a limit of the server is reached; raise it (what the message names, such as temp_file_limit)"},
	"54":    {fault.ClassPermanent, "a row exceeds what PostgreSQL can hold"},

	"55": {fault.ClassLater, "something that the table needs is in use"},
	"55000": {fault.ClassLater, "PostgreSQL refuses to change rows of a table; if the message speaks of a replica identity, " +
		"run ALTER TABLE … REPLICA IDENTITY FULL on the table that it names"},
	"55P02": {fault.ClassPermanent, "a setting of the dsn cannot be changed when a connection is made; take it out"},
	"55P03": {fault.ClassLater, "another session holds a lock that is needed"},

	"57":    {fault.ClassLater, "an administrator of the server is in the way"},
	"57014": {fault.ClassLater, "the statement was cancelled by somebody, or by a time limit of the server"},
	"57P01": {fault.ClassLater, "the server was shut down, or the connection was cut by an administrator, or by another process of this sink because this one stood still"},
	"57P02": {fault.ClassLater, "the server crashed and is being restarted"},
	"57P03": {fault.ClassLater, "the server is starting or stopping"},
	"57P04": {fault.ClassPermanent, "the database was dropped"},
	"57P05": {fault.ClassLater, "the server cut an idle connection"},

	"58":    {fault.ClassLater, "the server's operating system reports an error; its log says more"},
	"58P01": {fault.ClassPermanent, "a file of the server is missing, mostly the library of an extension; install it, and start this sink again"},
	"72":    {fault.ClassLater, "the snapshot was too old"},
	"F0":    {fault.ClassLater, "the server's configuration has an error; mend it"},
	"HV":    {fault.ClassAgain, ofForeign},
	"HV00N": {fault.ClassLater, ofForeign},

	"P0": {fault.ClassPermanent, "a trigger, or an event trigger, of the database raised an error; mend or drop it, and start this sink again " +
		"(SELECT evtname, evtfoid::regproc FROM pg_event_trigger shows the latter)"},

	"XX":    {fault.ClassAgain, "the server reports an error of its own; its log says more"},
	"XX001": {fault.ClassPermanent, "the server found its data damaged; restore the database, and start this sink again"},
	"XX002": {fault.ClassPermanent, "the server found an index damaged; run REINDEX on the table, and start this sink again"},
}

// adviceFor returns what an SQLSTATE means.
func adviceFor(code string) (a advice, known bool) {
	if a, known = advices[code]; known || len(code) != 5 {
		return a, known
	}
	a, known = advices[code[:2]]
	return a, known
}
