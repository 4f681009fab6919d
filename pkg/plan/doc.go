// Package plan decides what is to be loaded: it checks the query, cuts the
// history into partitions and queues them, compares what every sink has
// committed with the plan, requeues what is missing, trims the log and reports when
// everything is done.
package plan
