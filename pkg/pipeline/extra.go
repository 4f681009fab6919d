package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// extraShown is how many places of extra rows are written out.
const extraShown = 20

// findExtra searches a destination for rows that are of no block, if that is asked for,
// and prints where they are. wrong is set if there are some, err if it could not search.
func findExtra(ctx context.Context, o Options, name string, w sink.Writer) (wrong, err error) {
	finder, can := w.(sink.ExtraFinder)
	switch {
	case !can && o.Deep:
		say(o.out(), "%s: --deep has nothing to add: these rows were read from the table itself, each of them", name)
		return nil, nil
	case !can:
		return nil, nil
	case !o.Deep:
		say(o.out(), "%s: rows that are of no block were not looked for; --deep does", name)
		return nil, nil
	}
	found, err := finder.FindExtra(ctx)
	if err != nil {
		return nil, err
	}
	if found.Below > 0 {
		say(o.out(), "%s: rows of blocks below %d were not looked at: their index was dropped (finality)", name, found.Below)
	}
	if found.Rows == 0 {
		say(o.out(), "%s: %d rows are there, and each is of a block", name, found.Looked)
		return nil, nil
	}
	keys := slices.Sorted(maps.Keys(found.Keys))
	more := found.More
	for i, key := range keys {
		if i < extraShown {
			say(o.out(), "%s: key %q: %d rows that are of no block", name, key, found.Keys[key])
			continue
		}
		more += found.Keys[key]
	}
	if more > 0 {
		say(o.out(), "%s: other keys: %d rows that are of no block", name, more)
	}
	return ops.Incomplete(fmt.Errorf("sink %q: %s rows are of no block: others have written them, "+
		"or an older version of ampipe after a refusal; remove them",
		name, progress.Count(found.Rows))), nil
}
