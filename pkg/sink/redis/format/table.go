package format

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/rdb"
)

// Table is what the sink is to write. It is known without a connection.
type Table struct {
	config.Redis
	Pipeline, Sink string
	Schema         *arrow.Schema
	Block          int // index of the block column
	Pattern        *Pattern
	Indexes        []int // that are written, in the order of the schema
	score          int
	Owned          bool // rows of different blocks can have one name
	labels         [][]byte
	names          [][]byte // columns' names, packed; nil for those that are not written
	elements       [][]byte // and as elements of a listpack
}

// NewTable returns the table, or an error that names everything that is wrong.
func NewTable(cfg config.Redis, t sink.Table) (*Table, error) {
	if t.BlockColumn < 0 || t.BlockColumn >= t.Schema.NumFields() || !arrow.IsInteger(t.Schema.Field(t.BlockColumn).Type.ID()) {
		return nil, fault.Permanent(errors.New("the block column is not an integer column of the query; set source.block_column"))
	}
	g := &Table{Redis: cfg, Pipeline: t.Pipeline, Sink: t.Sink, Schema: t.Schema, Block: t.BlockColumn, score: -1}
	var wrong []error
	var err error
	if g.Pattern, err = newPattern(cfg, t.Schema); err != nil {
		wrong = append(wrong, err)
	} else if cfg.Structure.Keyed() && len(g.Pattern.Indexes) == 0 {
		wrong = append(wrong, fmt.Errorf("key: %q is the same for all rows, and structure: %s keeps one row for each key; "+
			"add columns to it, such as {%s}",
			cfg.Key, cfg.Structure, t.Schema.Field(t.BlockColumn).Name))
	}
	wrong = append(wrong, g.pickColumns(), g.pickScore())
	if err := errors.Join(wrong...); err != nil {
		return nil, fault.Permanent(fmt.Errorf("redis keys %s: %w", cfg.Key, err))
	}
	g.Owned = g.Named() && !slices.Contains(g.Pattern.Indexes, g.Block) && (cfg.Structure.Keyed() || !slices.Contains(g.Indexes, g.Block))
	g.label()
	return g, nil
}

// pickColumns finds the columns that are written, and checks their types.
func (g *Table) pickColumns() error {
	var wrong []error
	seen := make(map[string]bool)
	for i, f := range g.Schema.Fields() {
		if len(g.Columns) > 0 && !slices.Contains(g.Columns, f.Name) {
			continue
		}
		if seen[f.Name] {
			wrong = append(wrong, fmt.Errorf("the query gives two columns called %q; rename one with AS", f.Name))
		}
		seen[f.Name] = true
		if err := checkType(f.Type); err != nil {
			wrong = append(wrong, fmt.Errorf("column %q: %w", f.Name, err))
		}
		g.Indexes = append(g.Indexes, i)
	}
	for _, name := range g.Columns {
		if !seen[name] {
			wrong = append(wrong, fmt.Errorf("columns: the query gives no column %q; it gives %q", name, namesOf(g.Schema)))
		}
	}
	if len(g.Indexes) > maxColumns {
		wrong = append(wrong, fmt.Errorf("the query gives %d columns, and a script of Redis takes at most %d; name fewer under columns",
			len(g.Indexes), maxColumns))
	}
	return errors.Join(wrong...)
}

// maxColumns keeps the fields of a row on the stack of a script.
const maxColumns = 3500

func (g *Table) pickScore() error {
	if g.Structure != config.SortedSet {
		return nil
	}
	if g.Score == "" {
		g.score = g.Block
		return nil
	}
	found := g.Schema.FieldIndices(g.Score)
	if len(found) != 1 {
		return fmt.Errorf("score: the query gives no column %q; it gives %q", g.Score, namesOf(g.Schema))
	}
	if dt := g.Schema.Field(found[0]).Type; !arrow.IsInteger(dt.ID()) && !arrow.IsFloating(dt.ID()) && !arrow.IsDecimal(dt.ID()) {
		return fmt.Errorf("score: column %q is of the type %s, and the score of a sorted set is a number; choose a numeric "+
			"column, or cast it in the query", g.Score, dt)
	}
	g.score = found[0]
	return nil
}

// Named reports whether a row has a name of its own, so that a second one of that
// name takes its place.
func (g *Table) Named() bool { return g.Structure != config.Stream && g.Structure != config.List }

// Members reports whether a name is a key and a member of it.
func (g *Table) Members() bool {
	return g.Structure == config.Set || g.Structure == config.SortedSet
}

// Warnings returns what is not wrong, but probably not meant.
func (g *Table) Warnings() []string {
	block := g.Schema.Field(g.Block).Name
	other := strings.TrimPrefix(block, "_")
	if !g.Owned || other == block || !slices.ContainsFunc(g.Pattern.Indexes, func(i int) bool { return g.Schema.Field(i).Name == other }) {
		return nil
	}
	return []string{fmt.Sprintf("key: nobody knows that {%s} is the block of a row, so who wrote each key is kept, which takes "+
		"memory and half of the speed; write {%s} in its place", other, block)}
}

// flat reports whether columns are fields, not parts of a document.
func (g *Table) flat() bool { return g.Structure == config.Hash || g.Structure == config.Stream }

// Stride returns the number of elements of an index entry.
func (g *Table) Stride() int {
	n := 2
	if g.Structure.Keyed() {
		n = 1
	}
	if g.TTL > 0 {
		n++
	}
	return n
}

// label prepares the names of columns: packed for fields, dumped for hashes,
// quoted for documents.
func (g *Table) label() {
	g.names = make([][]byte, g.Schema.NumFields())
	g.elements = make([][]byte, g.Schema.NumFields())
	g.labels = make([][]byte, g.Schema.NumFields())
	for _, i := range g.Indexes {
		name := g.Schema.Field(i).Name
		g.names[i] = AppendPacked(nil, []byte(name))
		g.elements[i] = rdb.CloseElement(append(rdb.OpenElement(nil), name...), 0)
		g.labels[i] = append(Documents.AppendString(nil, []byte(name)), ':')
	}
}

// Prefix begins the names of all keys of the sink's state; in a Cluster, of those
// that are of the whole sink: the braces keep them together, in the slot of the coordinator.
func (g *Table) Prefix() string { return "ampipe:{" + g.Pipeline + "}:" + g.Sink + ":" }

// Keys are those of the script. In a Cluster there are more, of the coordinator.
func (g *Table) Keys() []string {
	names := []string{"state", "coverage", "open", "index", "owners", "replaced"}
	if g.Cluster {
		names = append(names, "none", "slots", "ready")
	}
	for i, name := range names {
		names[i] = g.Prefix() + name
	}
	return names
}

// SlotState names the state of a slot of a Cluster, by the tag that makes it be of
// that slot.
func (g *Table) SlotState(tag string) string {
	return "ampipe:" + g.Pipeline + ":" + g.Sink + ":{" + tag + "}:state"
}

// StateKeys returns the keys of the state, for people.
func (g *Table) StateKeys() string {
	if g.Cluster {
		return g.Prefix() + "* and ampipe:" + g.Pipeline + ":" + g.Sink + ":*"
	}
	return g.Prefix() + "*"
}

// Versions of the state; a script refuses to work on another. That of a Cluster
// says where the rows are.
const (
	Single    = "1"
	Clustered = "1c"
)

// Format returns the version of the state.
func (g *Table) Format() string {
	if g.Cluster {
		return Clustered
	}
	return Single
}

// Identity returns what must not change while there is a state: field and value.
func (g *Table) Identity() []string {
	columns := make([]string, len(g.Indexes))
	for i, c := range g.Indexes {
		columns[i] = g.Schema.Field(c).Name + " " + g.Schema.Field(c).Type.String()
	}
	null := "omit"
	if g.NullEmpty {
		null = "empty"
	}
	score := ""
	if g.score >= 0 {
		score = g.Schema.Field(g.score).Name
	}
	return []string{"structure", string(g.Structure), "table", g.Table, "key", g.Key, "columns", strings.Join(columns, ", "),
		"null", null, "score", score, "block_column", g.Schema.Field(g.Block).Name, "ttl", strconv.FormatBool(g.TTL > 0)}
}

// String names the keys for people.
func (g *Table) String() string { return "redis " + string(g.Structure) + " " + g.Key }

// Floor returns the lowest block whose index is kept when n is the highest block.
func (g *Table) Floor(n block.Number) block.Number {
	if g.Finality == 0 || uint64(n) <= g.Finality {
		return 0
	}
	return n - block.Number(g.Finality)
}

// Name returns what the script calls a row.
func (g *Table) Name(key, member string) string {
	if g.Members() {
		return strconv.Itoa(len(key)) + ":" + key + member
	}
	return key
}

// UsesMsetGuard reports whether rows are set by MSETNX and not by the script: Lua takes
// longer to look at a document than the server to store it. It can be done where a row
// is a key that is set once, and the server is one.
func (g *Table) UsesMsetGuard() bool {
	return g.Structure == config.String && !g.Owned && g.TTL == 0 && !g.Cluster
}

// MsetGuard returns the name of the key that lets MSETNX set rows, or refuses them.
func (g *Table) MsetGuard() string { return g.Prefix() + "latch" }
