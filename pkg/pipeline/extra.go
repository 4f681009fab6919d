package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// extraShown is how many places of extra rows are written out.
const extraShown = 20

// findExtra searches a destination for rows that are of no block, if that is asked for,
// and prints where they are. It returns how many there are.
func (v *verification) findExtra(ctx context.Context, w sink.Writer) (rows uint64, err error) {
	finder, can := w.(sink.ExtraFinder)
	switch {
	case !can && v.options.Deep:
		v.say("--deep has nothing to add: these rows were read from the table itself, each of them")
		return 0, nil
	case !can:
		return 0, nil
	case !v.options.Deep:
		v.say("rows that are of no block were not looked for; --deep does")
		return 0, nil
	}
	found, err := finder.FindExtra(ctx)
	if err != nil {
		return 0, err
	}
	if found.Below > 0 {
		v.say("rows of blocks below %d were not looked at: their index was dropped (finality)", found.Below)
	}
	if found.Rows == 0 {
		v.say("%s %s there, and each is of a block", counted(found.Looked, "row"), are(found.Looked))
		return 0, nil
	}
	keys := slices.Sorted(maps.Keys(found.Keys))
	more := found.More
	for i, key := range keys {
		if i < extraShown {
			v.say("key %q: %s of no block", key, counted(found.Keys[key], "row"))
			continue
		}
		more += found.Keys[key]
	}
	if more > 0 {
		v.say("other keys: %s of no block", counted(more, "row"))
	}
	return found.Rows, nil
}

// extraError returns the error for rows that are of no block, or nil.
func (v *verification) extraError(rows uint64) error {
	if rows == 0 {
		return nil
	}
	return ops.Incomplete(fmt.Errorf("sink %q: %s %s of no block: others have written them, "+
		"or an older version of ampipe after a refusal; remove them", v.sink.Name, counted(rows, "row"), are(rows)))
}
