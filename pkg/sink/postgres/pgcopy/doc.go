// Package pgcopy encodes the values of Arrow arrays as COPY BINARY of PostgreSQL, and
// takes such a COPY apart. It has no connection, and everything in it is pure.
//
// An [Encoding] is how values of an Arrow type are written into a type of PostgreSQL:
// the one that ampipe makes itself ([Default], [Override]), or one that is there already
// ([Fit]). Bound to an array it is [Values], which checks values before anything is
// written, and then appends one after the other without an allocation of its own. A
// [Reader] is the COPY of several [Rows]; a [Splitter] takes one apart.
//
// Why a value is refused is a text for people, in which <table> and <column> stand for
// names that are not known here, and <literal> for the value.
package pgcopy
