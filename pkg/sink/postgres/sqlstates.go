package postgres

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an SQLSTATE, or the class of its first two digits, means: to the loop
// that repeats, to the connection and to the user.
type advice struct {
	class   fault.Class
	session sessionAction
	text    string
}

// sessionAction is what becomes of the connections after a refusal.
type sessionAction int

const (
	// keep is for what has nothing to do with the session.
	keep sessionAction = iota
	// renew is for what the session may carry in itself, by its settings, its prepared
	// statements or the state of its process, so that it would be refused for as long as
	// it lives. All connections are replaced, and what is refused for good otherwise is
	// tried once more.
	renew
)

// The sentences that several SQLSTATEs share.
const (
	ofFunction = "a trigger, or a function that the table calls, raised an error; mend or drop it, and start this sink again " +
		"(\\d of the table shows its triggers, SELECT evtname, evtfoid::regproc FROM pg_event_trigger those of the database)"
	ofStatement = "the server does not take a statement of ampipe's; if it is PostgreSQL 12 or later, this is a bug: report it"
	ofPrepared  = "a pooler hands the connection on between transactions; " +
		"write default_query_exec_mode=exec (or pgbouncer=true) into the dsn"
	ofForeign = "the foreign server behind the table refuses"
)

// advices is what is decided for every SQLSTATE that PostgreSQL publishes (appendix A
// of its documentation): for all of a class, or for one of it. What is to be waited for
// is [fault.ClassLater]: the sink waits without end and shows it. [fault.ClassAgain] is
// tried until time is up. A value or a row that is refused (classes 22, 23 and 54) is looked
// for, and stops the sink at that row.
var advices = map[string]advice{
	"00": {fault.ClassAgain, keep, "the server reports a success as an error"},
	"01": {fault.ClassAgain, keep, "the server reports a warning as an error"},
	"02": {fault.ClassPermanent, keep, ofFunction},
	"03": {fault.ClassAgain, renew, "the connection was used by two at once"},

	"08":    {fault.ClassLater, renew, "the connection was lost"},
	"08P01": {fault.ClassLater, renew, "the server, or a pooler before it, ends the connection; its log says why"},

	"09": {fault.ClassPermanent, keep, ofFunction},
	"0A": {fault.ClassPermanent, renew, "PostgreSQL does not do that with this table, or this server not at all; " +
		"start this sink again to have the table checked"},
	"0B": {fault.ClassPermanent, keep, ofStatement},
	"0F": {fault.ClassPermanent, keep, ofFunction},
	"0L": {fault.ClassPermanent, keep, ofFunction},
	"0P": {fault.ClassPermanent, renew, "a role does not exist any more; start this sink again"},
	"0Z": {fault.ClassPermanent, keep, ofFunction},

	"20": {fault.ClassPermanent, keep, ofFunction},
	"21": {fault.ClassPermanent, keep, ofFunction},
	"22": {fault.ClassPermanent, keep, "the server refuses a value"},
	"23": {fault.ClassPermanent, keep, "a constraint of the table refuses a row; " +
		"drop the constraint, or filter such rows out in the query"},
	"23503": {fault.ClassPermanent, keep, "a foreign key refuses a row, or that a reorg removes one; " +
		"drop it, or, if it belongs to another table that refers to this one, make it ON DELETE CASCADE"},
	"23001": {fault.ClassPermanent, keep, "a foreign key of another table refuses that a reorg removes a row; " +
		"make it ON DELETE CASCADE, or drop it"},
	"24": {fault.ClassPermanent, keep, ofFunction},

	"25":    {fault.ClassAgain, renew, "a transaction was left in a state that ampipe does not know"},
	"25006": {fault.ClassLater, renew, "the server takes no writes: it is a standby, or set to read only"},
	"25P03": {fault.ClassLater, renew, "this process stood still within a transaction, so the server ended it"},
	"25P04": {fault.ClassLater, renew, "the transaction took longer than transaction_timeout allows; raise it for the user of the dsn"},

	"26":    {fault.ClassPermanent, renew, ofPrepared},
	"42P05": {fault.ClassPermanent, renew, ofPrepared},

	"27": {fault.ClassPermanent, keep, "a trigger changed the rows that were being changed; mend or drop it, and start this sink again"},
	"28": {fault.ClassPermanent, renew, "the server does not let this user in; " +
		"check user and password of the dsn, and pg_hba.conf on the server"},
	"2B": {fault.ClassPermanent, keep, ofFunction},
	"2D": {fault.ClassPermanent, keep, ofFunction},
	"2F": {fault.ClassPermanent, keep, ofFunction},
	"34": {fault.ClassPermanent, keep, ofFunction},
	"38": {fault.ClassPermanent, keep, ofFunction},
	"39": {fault.ClassPermanent, keep, ofFunction},
	"3B": {fault.ClassPermanent, keep, ofFunction},
	"3D": {fault.ClassPermanent, keep, "the database of the dsn does not exist; create it, or name another one"},
	"3F": {fault.ClassPermanent, keep, "a schema does not exist any more; start this sink again"},

	"40": {fault.ClassLater, keep, "another transaction was in the way"},
	"40002": {fault.ClassPermanent, keep, "a constraint of the table refuses a row; " +
		"drop the constraint, or filter such rows out in the query"},

	"42": {fault.ClassPermanent, keep, "the table, or something that it uses, is not what it was when this sink looked at it; " +
		"start it again to have it checked, and report it if that says the same"},
	"42P10": {fault.ClassPermanent, keep, "if the message speaks of a publication: its WHERE, " +
		"or its list of columns, does not fit the replica identity of the table; " +
		"run ALTER PUBLICATION … SET TABLE … without them, " +
		"or have it publish inserts only. Else start this sink again to have the table checked"},
	"42501": {fault.ClassPermanent, keep, "the user of the dsn has not the right to do that; " +
		"grant it, or BYPASSRLS if the message speaks of row-level security"},
	"44": {fault.ClassPermanent, keep, "the table is a view whose WITH CHECK OPTION refuses a row; " +
		"load a table, or filter such rows out in the query"},

	"53":    {fault.ClassLater, renew, "the server is out of resources"},
	"53100": {fault.ClassLater, renew, "the disk of the server is full"},
	"53300": {fault.ClassLater, keep, "the server has no connection to spare; if the message names a role or a database, " +
		"run ALTER ROLE … CONNECTION LIMIT -1 or ALTER DATABASE … CONNECTION LIMIT -1, " +
		"else raise its max_connections, or end other sessions"},
	"53400": {fault.ClassLater, renew, "a limit of the server is reached; raise it (what the message names, such as temp_file_limit)"},
	"54":    {fault.ClassPermanent, keep, "a row exceeds what PostgreSQL can hold"},

	"55": {fault.ClassLater, renew, "something that the table needs is in use"},
	"55000": {fault.ClassLater, renew, "PostgreSQL refuses to change rows of a table; if the message speaks of a replica identity, " +
		"run ALTER TABLE … REPLICA IDENTITY FULL on the table that it names"},
	"55P02": {fault.ClassPermanent, renew, "a setting of the dsn cannot be changed when a connection is made; take it out"},
	"55P03": {fault.ClassLater, keep, "another session holds a lock that is needed"},

	"57":    {fault.ClassLater, renew, "an administrator of the server is in the way"},
	"57014": {fault.ClassLater, renew, "the statement was cancelled by somebody, or by a time limit of the server"},
	"57P01": {fault.ClassLater, renew, "the server was shut down, or the connection was cut by an administrator, " +
		"or by another process of this sink because this one stood still"},
	"57P02": {fault.ClassLater, renew, "the server crashed and is being restarted"},
	"57P03": {fault.ClassLater, renew, "the server is starting or stopping"},
	"57P04": {fault.ClassPermanent, keep, "the database was dropped; make it again, or name another one in the dsn, and start " +
		"this sink again"},
	"57P05": {fault.ClassLater, renew, "the server cut an idle connection"},

	"58": {fault.ClassLater, renew, "the server's operating system reports an error; its log says more"},
	"58P01": {fault.ClassPermanent, keep, "a file of the server is missing, mostly the library of an extension; " +
		"install it, and start this sink again"},
	"72":    {fault.ClassLater, renew, "the snapshot was too old"},
	"F0":    {fault.ClassLater, renew, "the server's configuration has an error; mend it"},
	"HV":    {fault.ClassAgain, renew, ofForeign},
	"HV00N": {fault.ClassLater, renew, ofForeign},

	"P0": {fault.ClassPermanent, keep, "a trigger, or an event trigger, of the database raised an error; " +
		"mend or drop it, and start this sink again " +
		"(SELECT evtname, evtfoid::regproc FROM pg_event_trigger shows the latter)"},

	"XX":    {fault.ClassAgain, renew, "the server reports an error of its own; its log says more"},
	"XX001": {fault.ClassPermanent, keep, "the server found its data damaged; restore the database, and start this sink again"},
	"XX002": {fault.ClassPermanent, keep, "the server found an index damaged; run REINDEX on the table, and start this sink again"},
}

// whenConnecting are those that mean something else while a connection is made.
var whenConnecting = map[string]advice{
	"22": {fault.ClassPermanent, keep, "a setting of the dsn has a value that the server refuses; correct it"},
	"42": {fault.ClassPermanent, keep, "the dsn has a setting that this server does not know; take it out"},
	"42501": {fault.ClassPermanent, keep, "the user of the dsn may not connect to this database, " +
		"or not change a setting that the dsn has; " +
		"run GRANT CONNECT ON DATABASE … TO …, or take the setting out"},
}

var ofPoolerLogin = advice{fault.ClassPermanent, keep, "the pooler does not let this user in; " +
	"check user and password of the dsn, and auth_file of its configuration"}

// poolerAdvices are for what PgBouncer says under 08P01, its only code before version 1.20, by
// a part of its message.
var poolerAdvices = []struct {
	part string
	advice
}{
	{"unsupported startup parameter", advice{fault.ClassPermanent, keep, "the pooler does not pass this setting on; " +
		"take it out of the dsn, " +
		"set it with ALTER ROLE … SET, or have the pooler ignore it (ignore_startup_parameters of PgBouncer)"}},
	{"statement pooling mode", advice{fault.ClassPermanent, keep, "the pooler has no transactions; " +
		"set pool_mode = transaction or session in the configuration of PgBouncer, " +
		"or name the server itself in the dsn"}},
	{"no such database", advice{fault.ClassPermanent, keep, "the pooler does not know the database of the dsn; " +
		"add it to [databases] of its configuration, or name another one"}},
	{"no such user", advice{fault.ClassPermanent, keep, "the pooler does not know the user of the dsn; " +
		"add it to auth_file of its configuration"}},
	{"auth failed", ofPoolerLogin},
	{"SASL authentication failed", ofPoolerLogin},
	{"password authentication failed", ofPoolerLogin},
	{"no more connections allowed", advice{fault.ClassLater, keep, "the pooler has no connection to spare; raise its max_client_conn"}},
	{"query_wait_timeout", advice{fault.ClassLater, keep, "no connection of the pooler to the server became free in time; " +
		"raise its default_pool_size, or lower writers"}},
}

// knowTheirFunction are those whose advice holds for a statement of a function, too:
// what PL/pgSQL raises, and foreign keys, which are functions of the server.
var knowTheirFunction = []string{"P0000", "P0001", "P0002", "P0003", "P0004", foreignKeyViolation, restrictViolation}

// adviceOf returns what an error of the server, or of a pooler before it, means.
func adviceOf(err error, pg *pgconn.PgError) (a advice, known bool) {
	if pg.Code == protocolViolation {
		for _, p := range poolerAdvices {
			if strings.Contains(pg.Message, p.part) {
				return p.advice, true
			}
		}
	}
	if a, known := loginAdvice(err, pg); known {
		return a, true
	}
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting && len(pg.Code) == 5 {
		if a, known := whenConnecting[pg.Code]; known {
			return a, true
		}
		if a, known := whenConnecting[pg.Code[:2]]; known {
			return a, true
		}
	}
	a, known = adviceFor(pg.Code)
	if known && a.class == fault.ClassPermanent && withinTrigger(pg) && !slices.Contains(knowTheirFunction, pg.Code) {
		a.text = ofFunction // it is not a statement of ampipe's
	}
	return a, known
}

// adviceFor returns what an SQLSTATE means.
func adviceFor(code string) (a advice, known bool) {
	a, known = advices[code]
	if known || len(code) != 5 {
		return a, known
	}
	a, known = advices[code[:2]]
	return a, known
}
