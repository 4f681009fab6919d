package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
)

// Letters says which dead letters a command is about.
type Letters struct {
	Sink   string   // empty: of all sinks
	Ranges []string // written as of [block.ParseRange]; none: of all blocks
}

// deadGroup is dead letters of a sink that were refused for the same reason.
type deadGroup struct {
	Pipeline string        `json:"pipeline"`
	Sink     string        `json:"sink"`
	Rows     int           `json:"rows"`
	Blocks   []block.Range `json:"blocks"`
	Column   string        `json:"column,omitempty"`
	Error    string        `json:"error"`
	Oldest   time.Time     `json:"oldest"`
	Newest   time.Time     `json:"newest"`

	blocks block.Set
}

// ListDeadLetters prints the dead letters of a pipeline by sink, column and reason. If there
// are some the error is [ops.Incomplete].
func ListDeadLetters(ctx context.Context, p *config.Pipeline, o Options, of Letters) error {
	type reason struct{ sink, column, text string }
	groups := map[reason]*deadGroup{}
	err := eachDeadLetter(ctx, p, o, of, func(sink string, l queue.StoredLetter) error {
		why := reason{sink, l.Column, l.Error}
		g := groups[why]
		if g == nil {
			g = &deadGroup{Pipeline: p.Name, Sink: sink, Column: l.Column, Error: l.Error, Oldest: l.Time}
			groups[why] = g
		}
		g.Rows++
		g.blocks.Add(block.Closed(l.Block, l.Block))
		if l.Time.Before(g.Oldest) {
			g.Oldest = l.Time
		}
		if l.Time.After(g.Newest) {
			g.Newest = l.Time
		}
		return nil
	})
	if err != nil {
		return err
	}
	var all []*deadGroup
	for _, g := range groups {
		g.Blocks = g.blocks.Ranges()
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *deadGroup) int {
		return cmp.Or(strings.Compare(a.Sink, b.Sink), cmp.Compare(b.Rows, a.Rows),
			strings.Compare(a.Column, b.Column), strings.Compare(a.Error, b.Error))
	})
	err = printGroups(o, p.Name, all)
	if err != nil || len(all) == 0 {
		return err
	}
	return ops.Incomplete(ops.ErrSaid)
}

func printGroups(o Options, name string, all []*deadGroup) error {
	if o.JSON {
		encoder := json.NewEncoder(o.out())
		for _, g := range all {
			err := encoder.Encode(g)
			if err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		say(o.out(), "%s: no dead letters", name)
		return nil
	}
	l := listing{pipeline: name, headings: []string{"SINK", "ROWS", "IN BLOCKS", "FIRST", "LAST", "NEWEST", "COLUMN"}, text: "REASON"}
	for _, g := range all {
		l.add(g.Error, g.Sink, progress.Grouped(uint64(g.Rows)), progress.Grouped(g.blocks.Len()),
			fmt.Sprint(g.Blocks[0].Start), fmt.Sprint(g.Blocks[len(g.Blocks)-1].Last()), g.Newest.UTC().Format(time.DateTime), cmp.Or(g.Column, "-"))
	}
	l.print(o)
	return nil
}

// shownLetter is a dead letter as `ampipe dlq show --json` prints it.
type shownLetter struct {
	Pipeline string          `json:"pipeline"`
	Sink     string          `json:"sink"`
	Block    block.Number    `json:"block"`
	ID       string          `json:"id"`
	Row      int             `json:"row"`
	Column   string          `json:"column,omitempty"`
	Value    string          `json:"value,omitempty"`
	Error    string          `json:"error"`
	At       time.Time       `json:"at"`
	Source   json.RawMessage `json:"source"`
}

// ShowDeadLetters prints each dead letter with its row.
func ShowDeadLetters(ctx context.Context, p *config.Pipeline, o Options, of Letters) error {
	encoder := json.NewEncoder(o.out())
	encoder.SetEscapeHTML(false)
	some := false
	err := eachDeadLetter(ctx, p, o, of, func(sink string, l queue.StoredLetter) error {
		some = true
		row := sourceRow(l)
		if o.JSON {
			return encoder.Encode(shownLetter{p.Name, sink, l.Block, l.ID, l.Row, l.Column, l.Value, l.Error, l.Time.UTC(), row})
		}
		at := fmt.Sprintf("%s: sink %s, block %d, row %d of its entry", p.Name, sink, l.Block, l.Row)
		if l.Column != "" {
			at += fmt.Sprintf(", column %q", l.Column)
		}
		if l.Value != "" {
			at += ", value " + progress.Printable(l.Value)
		}
		say(o.out(), "%s: %s\n  %s", at, progress.Printable(l.Error), progress.Printable(string(row)))
		return nil
	})
	if err == nil && !some && !o.JSON {
		say(o.out(), "%s: no dead letters", p.Name)
	}
	return err
}

// sourceRow returns the row of a letter as a JSON object.
func sourceRow(l queue.StoredLetter) json.RawMessage {
	text := []byte{'{'}
	for i, column := range l.Source.Columns() {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(arrowfmt.Options(0).AppendString(text, []byte(l.Source.ColumnName(i))), ':')
		text = arrowfmt.QuotedDecimals.JSON(column)(text, 0)
	}
	return append(text, '}')
}

// DropDeadLetters removes dead letters. Their rows stay out of the destination.
func DropDeadLetters(ctx context.Context, p *config.Pipeline, o Options, of Letters) error {
	dropped := map[string]int{}
	err := eachSink(ctx, p, steerNATS, o, of, func(name string, letters *queue.DeadLetters, r block.Range) error {
		n, err := letters.Drop(ctx, r)
		dropped[name] += n
		return err
	})
	some := false
	for _, name := range slices.Sorted(maps.Keys(dropped)) {
		switch n := dropped[name]; {
		case n == 0:
			continue
		case o.JSON:
			err = errors.Join(err, json.NewEncoder(o.out()).Encode(droppedLetters{p.Name, name, n}))
		default:
			say(o.out(), "%s: %s of sink %s dropped; what they hold is not in the destination, and verify names the blocks",
				p.Name, counted(n, "dead letter"), name)
		}
		some = true
	}
	if err == nil && !some && !o.JSON {
		say(o.out(), "%s: no dead letters", p.Name)
	}
	return err
}

// droppedLetters is what `ampipe dlq drop --json` prints.
type droppedLetters struct {
	Pipeline string `json:"pipeline"`
	Sink     string `json:"sink"`
	Rows     int    `json:"rows"`
}

// eachDeadLetter calls do with the dead letters that are meant. do borrows them.
func eachDeadLetter(
	ctx context.Context, p *config.Pipeline, o Options, of Letters, do func(sink string, l queue.StoredLetter) error,
) error {
	return eachSink(ctx, p, asOperator, o, of, func(name string, letters *queue.DeadLetters, r block.Range) error {
		return letters.Each(ctx, r, func(l queue.StoredLetter) error { return do(name, l) })
	})
}

// eachSink calls do with the dead letters of each sink that is meant, and each range.
func eachSink(
	ctx context.Context, p *config.Pipeline, open func(context.Context, config.NATS, zerolog.Logger) (*natsConn, error),
	o Options, of Letters, do func(sink string, letters *queue.DeadLetters, r block.Range) error,
) (err error) {
	sinks := sinkNames(p)
	if of.Sink != "" {
		if !slices.Contains(sinks, of.Sink) {
			return ops.Config(fmt.Errorf("pipeline %q has no sink %q; it has %s%s", p.Name, of.Sink, strings.Join(sinks, ", "),
				config.DidYouMean(of.Sink, sinks, max(1, len(of.Sink)/3))))
		}
		sinks = []string{of.Sink}
	}
	var wanted block.Set
	for _, text := range of.Ranges {
		r, err := block.ParseRange(text, block.Range{End: block.Max})
		if err != nil {
			return ops.Config(err)
		}
		wanted.Add(r)
	}
	if len(of.Ranges) == 0 {
		wanted.Add(block.Range{End: block.Max})
	}
	conn, err := open(ctx, p.NATS, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, name := range sinks {
		letters, err := conn.DeadLetters(ctx, p.Name, name, 0)
		if errors.Is(err, queue.ErrNoStream) {
			continue // it has never put a row aside
		}
		if err != nil {
			return err
		}
		for _, r := range wanted.Ranges() {
			err := do(name, letters, r)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
