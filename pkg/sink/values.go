package sink

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Values reads rows as the values that a destination's driver takes, for a Writer that
// writes them one by one: it says where a value stands that is refused, and makes the
// digests of both sides from the same values. A Writer that embeds it has CheckRows,
// Windowed and DigestSource.
type Values struct {
	Table Table
	Key   []int // columns of which NULL is refused and the newest row counts; nil: every row stays

	// Column returns what reads the values of a column that are not NULL, or says why the
	// destination cannot hold one. They must not point into the column: it is borrowed. It is
	// never a dictionary, but the values of one.
	Column func(index int, column arrow.Array) func(i int) (value any, reason string)
}

// Each calls f for each row of a run, with its position in its entry. A row that is refused
// is a permanent [*BadRowError].
func (v *Values) Each(run RowRange, f func(n block.Number, at int, values []any) error) error {
	blocks, err := BlocksOf(run.Record, v.Table.BlockColumn)
	if err != nil {
		return err
	}
	columns := run.Record.Columns()
	nulls, read := make([]arrowfmt.Nulls, len(columns)), make([]func(int) (any, string), len(columns))
	for c, column := range columns {
		nulls[c], read[c] = arrowfmt.NullsOf(column), v.column(c, column)
	}
	for i := run.From; i < run.To; i++ {
		values, at := make([]any, len(columns)), run.Entry+i-run.From
		for c := range columns {
			reason := ""
			if !nulls[c].Null(i) {
				values[c], reason = read[c](i)
			}
			if values[c] == nil && slices.Contains(v.Key, c) {
				reason = "a column of the key must not be NULL; leave such rows out in the query"
			}
			if reason != "" {
				return fault.Permanent(&BadRowError{
					Block: blocks.At(i), Row: at, Column: v.Table.Schema.Field(c).Name, Value: fault.Shorten(fmt.Sprint(values[c]), 100), Reason: reason,
				})
			}
		}
		err := f(blocks.At(i), at, values)
		if err != nil {
			return err
		}
	}
	return nil
}

// column is Column for a dictionary as well, whose values may be NULL.
func (v *Values) column(index int, column arrow.Array) func(i int) (value any, reason string) {
	d, is := column.(*array.Dictionary)
	if !is {
		return v.Column(index, column)
	}
	nulls, values := arrowfmt.NullsOf(d.Dictionary()), v.column(index, d.Dictionary())
	return func(i int) (any, string) {
		at := d.GetValueIndex(i)
		if nulls.Null(at) {
			return nil, ""
		}
		return values(at)
	}
}

// CheckRows returns the error of Each for the rows of a record, for [Inspector].
func (v *Values) CheckRows(rec arrow.RecordBatch) error {
	return v.Each(RowRange{Record: rec, To: int(rec.NumRows())}, func(block.Number, int, []any) error { return nil })
}

// Windowed reports whether only rows of the same block replace each other, for [Digester].
func (v *Values) Windowed() bool { return v.Key == nil || slices.Contains(v.Key, v.Table.BlockColumn) }

// DigestSource starts the digest of rows from the source, for [Digester]. What is stored is
// digested by [HashValues].
func (v *Values) DigestSource() SourceDigest {
	return &valuesDigest{v, Digests{}, NewKeyedDigests[string](v.Windowed())}
}

// valuesDigest is a digest of rows that all stay (plain), or of the newest of each key.
type valuesDigest struct {
	*Values
	plain Digests
	keyed *KeyedDigests[string]
}

// Add adds the rows of a record.
func (d *valuesDigest) Add(rec arrow.RecordBatch) error {
	return d.Each(RowRange{Record: rec, To: int(rec.NumRows())}, func(n block.Number, _ int, values []any) error {
		if d.Key == nil {
			d.plain.Add(n, HashValues(values))
			return nil
		}
		var key []byte
		for _, c := range d.Key {
			key = appendValue(key, values[c])
		}
		d.keyed.Add(n, string(key), HashValues(values))
		return nil
	})
}

// Digests returns the digests of all rows added.
func (d *valuesDigest) Digests() Digests {
	if d.Key == nil {
		return d.plain
	}
	return d.keyed.Digests()
}

// HashValues hashes a row, whose values are nil, int64, float64, bool, string or []byte.
func HashValues(values []any) uint64 {
	var text []byte
	for _, v := range values {
		text = appendValue(text, v)
	}
	h := fnv.New64a()
	_, _ = h.Write(text) // it never fails
	return h.Sum64()
}

// appendValue appends a value so that no two rows become the same bytes.
func appendValue(to []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(to, 'n')
	case int64:
		return binary.LittleEndian.AppendUint64(append(to, 'i'), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(to, 'f'), math.Float64bits(v))
	case bool:
		return fmt.Appendf(to, "%t", v)
	case string:
		return append(binary.LittleEndian.AppendUint64(append(to, 's'), uint64(len(v))), v...)
	case []byte:
		return append(binary.LittleEndian.AppendUint64(append(to, 'b'), uint64(len(v))), v...)
	default:
		panic(fmt.Sprintf("hash a value of type %T: it is none of those that sink.HashValues takes", v))
	}
}
