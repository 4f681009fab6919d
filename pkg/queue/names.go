package queue

import (
	"fmt"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Names of everything in JetStream. Pipelines, sinks and kinds of tasks are
// single tokens of subjects, so they may not contain what ends one.
const (
	logStream   = "AMPIPE_LOG_"
	logSubject  = "ampipe.log."
	taskStream  = "AMPIPE_TASKS"
	taskSubject = "ampipe.task."
	stateBucket = "AMPIPE_STATE"
	deadStreams = "AMPIPE_DEAD_"
	deadSubject = "ampipe.dead."

	stateStream  = "KV_" + stateBucket // how a bucket is kept
	stateSubject = "$KV." + stateBucket + "."
)

// checkName refuses a name that cannot be part of subjects and of the names of
// streams and consumers.
func checkName(what, name string) error {
	ok := name != "" && len(name) <= 64
	for _, r := range name {
		ok = ok && ((r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '-' || r == '_')
	}
	if !ok {
		return fault.Permanent(fmt.Errorf("%s %q: want 1 to 64 letters, digits, \"-\" and \"_\"", what, name))
	}
	return nil
}

// checkPath refuses a lane, an id or a key that is not tokens joined by dots.
func checkPath(what, path string) error {
	ok := path != "" && len(path) <= 200
	last := '.'
	for _, r := range path {
		ok = ok && r > ' ' && r < 0x7f && r != '*' && r != '>' && (r != '.' || last != '.')
		last = r
	}
	if !ok || last == '.' {
		return fault.Permanent(fmt.Errorf("%s %q: want words joined by dots", what, path))
	}
	return nil
}
