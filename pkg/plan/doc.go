// Package plan decides what is to be loaded: it checks the query, cuts the
// history into partitions and queues them, compares what every sink has
// committed with what was wanted, queues again what is missing, trims the log
// and says when everything is done.
package plan
