// Package apply takes the entries of a pipeline's log and applies them to a destination
// through its [sink.Writer], exactly once: it pulls, orders, batches and decodes, writes
// many entries in one transaction, waits out what passes, finds the block that the
// destination refuses, and reports how far it is. It knows nothing of Amp.
package apply
