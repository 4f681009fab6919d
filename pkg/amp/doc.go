// Package amp is the client of an Amp server: SQL over Arrow Flight, with the
// block ranges that Amp attaches to every answer.
package amp
