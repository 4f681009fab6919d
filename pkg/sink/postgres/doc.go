// Package postgres loads tables into PostgreSQL: Arrow columns are encoded
// straight into COPY BINARY, and which blocks a table holds is committed with
// its rows, so that each of them is in it exactly once.
//
// The parts: tablespec is the table as it should be, inspect reads what the server has,
// planchanges compares the two. column maps values, which package pgcopy encodes. apply
// is the transaction, commitstate what it has committed, upsert the way by keys, digest
// verifies. statements.sql has the statements, schema.sql the schema ampipe. discrepancy
// is what PostgreSQL did not do though it said so; hindrance and hazard are what may be
// the cause, guard looks for it in each transaction.
package postgres
