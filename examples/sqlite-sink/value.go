package main

import (
	"math"
	"strconv"
)

// A value that SQLite would change is refused: what it stores has to be what the source
// has.

func text(s string) (any, string) { return s, "" }

func integer(s string) (any, string) {
	switch s {
	case "false":
		return int64(0), ""
	case "true":
		return int64(1), ""
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s, "it is above the highest integer of SQLite; cast the column to a text in the query"
	}
	return n, ""
}

func real(s string) (any, string) {
	v, _ := strconv.ParseFloat(s, 64) // it was a float
	if math.IsNaN(v) {
		return s, "SQLite would store it as NULL; replace it in the query"
	}
	return v + 0, "" // it has no negative zero
}
