package redis

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

// target is what the sink is to write. It is known without a connection.
type target struct {
	config.Redis
	pipeline, sink string
	schema         *arrow.Schema
	block          int // index of the block column
	pattern        *pattern
	columns        []int // that are written, in the order of the schema
	score          int
	owned          bool // rows of different blocks can have one name
	bare           bool // the columns that are written may all be null
	labels         [][]byte
	names          [][]byte // columns' names, packed; nil for those that are not written
	elements       [][]byte // and as elements of a listpack
}

// newTarget returns the target, or an error that names everything that is wrong.
func newTarget(cfg config.Redis, t sink.Table) (*target, error) {
	if t.BlockColumn < 0 || t.BlockColumn >= t.Schema.NumFields() || !arrow.IsInteger(t.Schema.Field(t.BlockColumn).Type.ID()) {
		return nil, fault.Permanent(errors.New("the block column is not an integer column of the query; set source.block_column"))
	}
	g := &target{Redis: cfg, pipeline: t.Pipeline, sink: t.Sink, schema: t.Schema, block: t.BlockColumn, score: -1}
	var wrong []error
	var err error
	if g.pattern, err = newPattern(cfg, t.Schema); err != nil {
		wrong = append(wrong, err)
	} else if cfg.Structure.Keyed() && len(g.pattern.columns) == 0 {
		wrong = append(wrong, fmt.Errorf("key: %q is the same for all rows, and structure: %s keeps one row for each key; "+
			"add columns to it, such as {%s}",
			cfg.Key, cfg.Structure, t.Schema.Field(t.BlockColumn).Name))
	}
	wrong = append(wrong, g.pickColumns(), g.pickScore())
	if err := errors.Join(wrong...); err != nil {
		return nil, fault.Permanent(fmt.Errorf("redis keys %s: %w", cfg.Key, err))
	}
	g.bare = !slices.Contains(g.columns, g.block)
	g.owned = g.named() && !slices.Contains(g.pattern.columns, g.block) && (cfg.Structure.Keyed() || g.bare)
	g.label()
	return g, nil
}

// pickColumns finds the columns that are written, and checks their types.
func (g *target) pickColumns() error {
	var wrong []error
	seen := make(map[string]bool)
	for i, f := range g.schema.Fields() {
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
		g.columns = append(g.columns, i)
	}
	for _, name := range g.Columns {
		if !seen[name] {
			wrong = append(wrong, fmt.Errorf("columns: the query gives no column %q; it gives %q", name, namesOf(g.schema)))
		}
	}
	if len(g.columns) > maxColumns {
		wrong = append(wrong, fmt.Errorf("the query gives %d columns, and a script of Redis takes at most %d; name fewer under columns",
			len(g.columns), maxColumns))
	}
	return errors.Join(wrong...)
}

// maxColumns keeps the fields of a row on the stack of a script.
const maxColumns = 3500

func (g *target) pickScore() error {
	if g.Structure != config.SortedSet {
		return nil
	}
	if g.Score == "" {
		g.score = g.block
		return nil
	}
	found := g.schema.FieldIndices(g.Score)
	if len(found) != 1 {
		return fmt.Errorf("score: the query gives no column %q; it gives %q", g.Score, namesOf(g.schema))
	}
	if dt := g.schema.Field(found[0]).Type; !arrow.IsInteger(dt.ID()) && !arrow.IsFloating(dt.ID()) && !arrow.IsDecimal(dt.ID()) {
		return fmt.Errorf("score: column %q is of the type %s, and the score of a sorted set is a number; choose a numeric "+
			"column, or cast it in the query", g.Score, dt)
	}
	g.score = found[0]
	return nil
}

// named reports whether a row has a name of its own, so that a second one of that
// name takes its place.
func (g *target) named() bool { return g.Structure != config.Stream && g.Structure != config.List }

// members reports whether a name is a key and a member of it.
func (g *target) members() bool {
	return g.Structure == config.Set || g.Structure == config.SortedSet
}

// warnings returns what is not wrong, but probably not meant.
func (g *target) warnings() []string {
	block := g.schema.Field(g.block).Name
	other := strings.TrimPrefix(block, "_")
	if !g.owned || other == block || !slices.ContainsFunc(g.pattern.columns, func(i int) bool { return g.schema.Field(i).Name == other }) {
		return nil
	}
	return []string{fmt.Sprintf("key: nobody knows that {%s} is the block of a row, so who wrote each key is kept, which takes "+
		"memory and half of the speed; write {%s} in its place", other, block)}
}

// flat reports whether columns are fields, not parts of a document.
func (g *target) flat() bool { return g.Structure == config.Hash || g.Structure == config.Stream }

// stride returns the number of elements of an index entry.
func (g *target) stride() int {
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
func (g *target) label() {
	g.names = make([][]byte, g.schema.NumFields())
	g.elements = make([][]byte, g.schema.NumFields())
	g.labels = make([][]byte, g.schema.NumFields())
	for _, i := range g.columns {
		name := g.schema.Field(i).Name
		g.names[i] = appendPacked(nil, []byte(name))
		g.elements[i] = rdb.CloseElement(append(rdb.OpenElement(nil), name...), 0)
		g.labels[i] = append(documents.AppendString(nil, []byte(name)), ':')
	}
}

// prefix begins the names of all keys of the sink's state; in a Cluster, of those
// that are of the whole sink: the braces keep them together, in the slot of the coordinator.
func (g *target) prefix() string { return "ampipe:{" + g.pipeline + "}:" + g.sink + ":" }

// keys are those of the script. In a Cluster there are more, of the coordinator.
func (g *target) keys() []string {
	names := []string{"state", "coverage", "open", "index", "owners", "replaced"}
	if g.Cluster {
		names = append(names, "none", "slots", "ready")
	}
	for i, name := range names {
		names[i] = g.prefix() + name
	}
	return names
}

// slotState names the state of a slot of a Cluster, by the tag that makes it be of
// that slot.
func (g *target) slotState(tag string) string {
	return "ampipe:" + g.pipeline + ":" + g.sink + ":{" + tag + "}:state"
}

// stateKeys returns the keys of the state, for people.
func (g *target) stateKeys() string {
	if g.Cluster {
		return g.prefix() + "* and ampipe:" + g.pipeline + ":" + g.sink + ":*"
	}
	return g.prefix() + "*"
}

// Versions of the state; a script refuses to work on another. That of a Cluster
// says where the rows are.
const (
	formatSingle  = "1"
	formatCluster = "1c"
)

func (g *target) format() string {
	if g.Cluster {
		return formatCluster
	}
	return formatSingle
}

// identity returns what must not change while there is a state: field and value.
func (g *target) identity() []string {
	columns := make([]string, len(g.columns))
	for i, c := range g.columns {
		columns[i] = g.schema.Field(c).Name + " " + g.schema.Field(c).Type.String()
	}
	null := "omit"
	if g.NullEmpty {
		null = "empty"
	}
	score := ""
	if g.score >= 0 {
		score = g.schema.Field(g.score).Name
	}
	return []string{"structure", string(g.Structure), "table", g.Table, "key", g.Key, "columns", strings.Join(columns, ", "),
		"null", null, "score", score, "block_column", g.schema.Field(g.block).Name, "ttl", strconv.FormatBool(g.TTL > 0)}
}

// String names the keys for people.
func (g *target) String() string { return "redis " + string(g.Structure) + " " + g.Key }

// floor returns the lowest block whose index is kept when n is the highest block.
func (g *target) floor(n block.Number) block.Number {
	if g.Finality == 0 || uint64(n) <= g.Finality {
		return 0
	}
	return n - block.Number(g.Finality)
}

// name returns what the script calls a row.
func (g *target) name(key, member string) string {
	if g.members() {
		return strconv.Itoa(len(key)) + ":" + key + member
	}
	return key
}

// usesMsetGuard reports whether rows are set by MSETNX and not by the script: Lua takes
// longer to look at a document than the server to store it. It can be done where a row
// is a key that is set once, and the server is one.
func (g *target) usesMsetGuard() bool {
	return g.Structure == config.String && !g.owned && g.TTL == 0 && !g.Cluster
}

// msetGuard returns the name of the key that lets MSETNX set rows, or refuses them.
func (g *target) msetGuard() string { return g.prefix() + "latch" }
