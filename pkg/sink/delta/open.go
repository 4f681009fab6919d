package delta

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Open checks everything and makes the table if it is missing, by one commit; see
// [sink.Writer]. Processes that open at the same time make it once.
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	return w.connect(ctx, t, w.probe, w.prepare)
}

// Check does all that [Writer.Open] does except making the table. What it writes
// to find out whether it may and whether the storage can be trusted, it removes.
// The Writer need not be open, and is not after.
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	err := w.connect(ctx, t, w.probe, func(ctx context.Context) error {
		_, err := w.consider(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// Reach checks whether the storage can be used, while the columns of the query are not
// known. What it writes for that it removes. The Writer is not open after.
func (w *Writer) Reach(ctx context.Context) error {
	if err := w.openStorage(ctx); err != nil {
		return err
	}
	if err := w.opened(ctx, w.probe(ctx)); err != nil {
		return err
	}
	return w.Close()
}

// CheckRows returns the error of [Writer.Apply] for rows that the table does not take.
// [Writer.Check] comes before.
func (w *Writer) CheckRows(rec arrow.RecordBatch) error {
	if w.target == nil {
		return errNotOpen
	}
	rows, err := w.target.rowsOf(sink.Step{Write: []sink.RowRange{{Record: rec, To: int(rec.NumRows())}}})
	if err != nil {
		return err
	}
	rows.release()
	return nil
}

// OpenStored connects to a table that is there, to read it with
// [Writer.DigestStored], and changes nothing.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error {
	return w.connect(ctx, t, func(ctx context.Context) error {
		s, err := w.log.Refresh(ctx)
		if err != nil {
			return err
		}
		if s.Version < 0 {
			return fault.Permanent(errors.New("there is no table; has the pipeline been run?"))
		}
		return w.target.fits(s)
	})
}

// connect opens the storage and takes steps, until one fails: then it closes it again.
func (w *Writer) connect(ctx context.Context, t sink.Table, steps ...func(context.Context) error) error {
	target, err := newTarget(w.cfg, t)
	if err != nil {
		return fmt.Errorf("table %s: %w", w.place(), err)
	}
	if err := w.openStorage(ctx); err != nil {
		return err
	}
	target.longest.whole, target.longest.part = w.store.Longest()
	w.target, w.log = target, deltalog.New(w.store)
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return w.opened(ctx, err)
		}
	}
	return nil
}

func (w *Writer) openStorage(ctx context.Context) (err error) {
	if w.store == nil {
		w.store, err = storage.Open(ctx, storage.Place{Path: w.cfg.Path, URL: w.cfg.URL, Endpoint: w.cfg.Endpoint,
			Region: w.cfg.Region, Spool: w.cfg.Spool})
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", w.place(), err)
	}
	return nil
}

// probe checks whether the storage, and the spool, can be used.
func (w *Writer) probe(ctx context.Context) error {
	if err := storage.ProbeSpool(w.cfg.Spool); err != nil {
		return err
	}
	return storage.Probe(ctx, w.store)
}

// opened names the table in an error of opening it, and closes what is open.
func (w *Writer) opened(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	place := w.place()
	closed := w.Close()
	if ctx.Err() != nil {
		return fmt.Errorf("open table %s: %w", place, context.Cause(ctx))
	}
	return errors.Join(fmt.Errorf("table %s: %w", place, err), closed)
}

// place names the table for people.
func (w *Writer) place() string {
	if w.store != nil {
		return w.store.String()
	}
	if w.cfg.Path != "" {
		return w.cfg.Path
	}
	where, _, _ := strings.Cut(w.cfg.URL, "?")
	return where
}

// work is what has to be done before rows can be written.
type work struct {
	base  *deltalog.Snapshot
	make  bool // the table
	own   bool // say that we load it
	empty bool // take every file out
}

// consider looks at what is there and works out what has to be done.
func (w *Writer) consider(ctx context.Context) (work, error) {
	s, err := w.log.Refresh(ctx)
	if err != nil {
		return work{}, err
	}
	if s.Version < 0 {
		err := w.checkEmpty(ctx)
		if !errors.Is(err, errNoVersion) {
			return work{base: s, make: true, own: true}, err
		}
		// Somebody may have made the table between the two looks.
		s, _ = w.log.Refresh(ctx)
		if s == nil || s.Version < 0 {
			return work{}, err
		}
	}
	if err := w.target.fits(s); err != nil {
		return work{}, err
	}
	for id := range s.Txns {
		if other := strings.Split(id, ":"); len(other) == 3 && other[0] == deltalog.Engine && !strings.Contains(id, "#") && id != w.target.app {
			return work{}, fault.Permanent(fmt.Errorf("it is loaded by the sink %q of the pipeline %q, and one table is for one sink; "+
				"use another path or url", other[2], other[1]))
		}
	}
	_, begun, err := readCommitState(s, w.target.app)
	return work{base: s, own: !begun, empty: !begun && w.target.overwrite}, err
}

var errSomethingElse = fault.Permanent(errors.New("there are files, and no Delta table; use an empty folder"))

var errNoVersion = fault.Permanent(fmt.Errorf("the folder %s has no version that could be read; it is damaged: restore it "+
	"from a backup, or load into another table", deltalog.Folder))

// checkEmpty refuses a place that holds something else.
func (w *Writer) checkEmpty(ctx context.Context) error {
	return w.store.List(ctx, "", "", func(i storage.Info) error {
		if strings.HasPrefix(i.Name, ".") || strings.HasPrefix(i.Name, "_ampipe/") || strings.Contains(i.Name, "/.") {
			return nil
		}
		if strings.HasPrefix(i.Name, deltalog.Folder) {
			return errNoVersion
		}
		return fmt.Errorf("%w (%s is there)", errSomethingElse, i.Name)
	})
}

// prepare does what has to be done.
func (w *Writer) prepare(ctx context.Context) error {
	for try := 1; ; try++ {
		todo, err := w.consider(ctx)
		if err != nil || !todo.own {
			return err
		}
		actions, err := w.opening(todo)
		if err != nil {
			return err
		}
		_, err = w.log.Commit(ctx, todo.base, actions)
		if err == nil || !errors.Is(err, deltalog.ErrConflict) || try == raceTries {
			return err
		}
	}
}

// opening returns the first commit of a sink.
func (w *Writer) opening(todo work) ([]deltalog.Action, error) {
	now := time.Now().UnixMilli()
	g := w.target
	info := g.info("WRITE", todo.base.Version, now, map[string]string{})
	actions := []deltalog.Action{{CommitInfo: info}}
	if todo.make {
		info.Operation, info.ReadVersion = "CREATE TABLE", nil
		schema, err := json.Marshal(g.schema())
		if err != nil {
			return nil, fmt.Errorf("write the schema: %w", err)
		}
		actions = append(actions,
			deltalog.Action{Protocol: &deltalog.Protocol{MinReaderVersion: 1, MinWriterVersion: 2}},
			deltalog.Action{MetaData: &deltalog.MetaData{ID: newID(), SchemaString: string(schema), CreatedTime: now,
				Format:           deltalog.Format{Provider: "parquet", Options: map[string]string{}},
				PartitionColumns: append([]string{}, g.names...), Configuration: map[string]string{}}})
	}
	if todo.empty {
		info.OperationParameters["mode"] = "Overwrite"
		for _, a := range todo.base.Files.All() {
			actions = append(actions, deltalog.Action{Remove: a.Remove(now, true)})
		}
	}
	return append(actions, commitStateActions(todo.base, g.app, &sink.CommitState{}, now)...), nil
}

// newID returns a random UUID, which the protocol wants for a table.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Warnings returns what of the query the table will not have. The table need not be
// there.
func (w *Writer) Warnings(t sink.Table) []string {
	g, err := newTarget(w.cfg, t)
	if err != nil {
		return nil // Open says it
	}
	var all []string
	for _, name := range g.dropped {
		all = append(all, fmt.Sprintf("column %q is always NULL, has no type, and is left out of the Delta table; cast it in the "+
			"query to keep it", name))
	}
	return all
}

// Describe returns the statement, in Spark's SQL, that makes the table that
// [Writer.Open] would make. It needs no connection. An error is permanent.
func (w *Writer) Describe(t sink.Table) (string, error) {
	g, err := newTarget(w.cfg, t)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, warning := range w.Warnings(t) {
		fmt.Fprintf(&b, "-- %s\n", warning)
	}
	fmt.Fprintf(&b, "CREATE TABLE delta.`%s` (", w.place())
	for i, c := range g.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    `%s` %s", c.field.Name, deltalog.TypeText(deltalog.TypeOf(c.field.Type)))
	}
	b.WriteString("\n) USING DELTA")
	if len(g.names) > 0 {
		fmt.Fprintf(&b, " PARTITIONED BY (`%s`)", strings.Join(g.names, "`, `"))
	}
	b.WriteString(";\n")
	return b.String(), nil
}
