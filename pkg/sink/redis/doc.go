// Package redis loads tables into Redis or Valkey as hashes, documents, streams,
// sets or lists. Rows, an index of them by block and the record of which blocks
// are there change in one script call for each slice of about 100 rows.
//
// The parts: format is what is written, rdb how a hash is dumped, scripts the atomic
// steps. Here open, server and rights inspect what the server has, apply decides on the
// steps and send sends them, commitstate reads what is committed, digest, digest_stored
// and extra verify. cluster commits to a Redis Cluster. docs/redis.md is the manual.
package redis
