// Package postgres loads tables into PostgreSQL: Arrow columns are encoded
// straight into COPY BINARY, and which blocks a table holds is committed with
// its rows, so that each of them is in it exactly once.
//
// The parts: target is the table as it should be, survey what the server has,
// decide compares the two. column and the files named after types map values.
// apply is the transaction, ledger its memory, upsert the way by keys, digest
// the proof. state.go holds the schema ampipe. discrepancy is what PostgreSQL did not
// do though it said so; hindrance and hazard are what may be the cause, guard looks
// for it in each transaction.
package postgres
