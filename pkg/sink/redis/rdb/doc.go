// Package rdb encodes a hash as RESTORE takes it, and as DUMP returns it: a listpack, the
// form in which Redis keeps small hashes itself. The server copies it as it stands, where
// HSET would take 26 arguments of a log apart, one by one, twice. The format is that of
// Redis 7.0 (rdb.h, listpack.c); Valkey and later versions of Redis read it as well.
package rdb
