package apply

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// unit is a message and its rows.
type unit struct {
	message *message
	change  sink.Change
	dead    int // rows that became dead letters
}

// caught runs what works on the rows of entries. A panic is a permanent error of
// theirs, whose stack is in the log: see [fault.Catch].
func (r *run) caught(doing string, op func() error) error {
	err := fault.Catch(op)
	if stack := fault.Stack(err); stack != "" {
		r.Logger.Error().Err(err).Str("stack", stack).Msgf("panic while %s", doing)
	}
	return err
}

// change decodes one message and checks that it belongs into the table. A
// *damagedError says that no destination could take it.
func (a *prefetch) change(m *queue.Message) (sink.Change, error) {
	c := sink.Change{Header: m.Header, Seq: m.Seq, Live: m.Live(), After: m.After}
	switch {
	case m.Kind == entry.Data && (c.Live || !m.Complete):
	case c.Live:
		return c, nil
	default:
		return c, &damagedError{fmt.Errorf("a %q entry of blocks %v stands in a partition's lane, where only data may", m.Kind, m.Range)}
	}
	schema, records, err := a.decoder.Decode(m.Entry)
	if err != nil {
		return c, &damagedError{err}
	}
	c.Records = records
	if m.Schema != a.schema {
		release(c)
		return c, fault.Permanent(fmt.Errorf("blocks %v do not fit the table the pipeline was planned with: %s; "+
			"the source has changed: plan it as a new pipeline with a table of its own", m.Range, difference(a.Table.Schema, schema)))
	}
	if err := sink.CheckRows(c, a.Table.BlockColumn); err != nil {
		release(c)
		return c, &damagedError{err}
	}
	return c, nil
}

// difference names the first column that is not as planned. Nullability does
// not count.
func difference(want, got *arrow.Schema) string {
	for i, f := range want.Fields() {
		if i >= got.NumFields() {
			return fmt.Sprintf("column %q is missing", f.Name)
		}
		switch g := got.Field(i); {
		case g.Name != f.Name:
			return fmt.Sprintf("column %d is %q instead of %q", i+1, g.Name, f.Name)
		case !arrow.TypeEqual(g.Type, f.Type):
			return fmt.Sprintf("column %q is of type %s instead of %s", f.Name, g.Type, f.Type)
		}
	}
	if got.NumFields() > want.NumFields() {
		return fmt.Sprintf("column %q is new", got.Field(want.NumFields()).Name)
	}
	return "the types of its columns differ"
}

func release(c sink.Change) {
	for _, rec := range c.Records {
		rec.Release()
	}
}
