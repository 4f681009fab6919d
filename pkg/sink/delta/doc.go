// Package delta loads tables into Delta Lake: Arrow records are written as
// Parquet files, and one commit of the table's log adds the files of many
// entries together with which blocks they are of. Nothing but storage is needed;
// docs/delta.md is the manual.
//
// The parts, from below: package storage is files and the one atomic operation, and
// package deltalog is the protocol. columns, convert and stats map types, values and
// statistics; partitionedrows divides rows by partitions. stage collects rows in spooled
// files, commit makes them a version of the table, rewrite removes blocks from files.
// state is what the table says of itself; compact and vacuum are housekeeping.
package delta
