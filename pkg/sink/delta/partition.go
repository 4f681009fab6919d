package delta

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// partition is the values of the partition columns that all rows of a file have,
// in the order of those columns; nil is NULL.
type partition []*string

// values returns them by name.
func (p partition) values(names []string) map[string]*string {
	m := make(map[string]*string, len(p))
	for i, v := range p {
		m[names[i]] = v
	}
	return m
}

// key returns a text that no other partition has.
func (p partition) key() string {
	var b strings.Builder
	for _, v := range p {
		if v == nil {
			b.WriteString("-;")
		} else {
			fmt.Fprintf(&b, "%d:%s;", len(*v), *v)
		}
	}
	return b.String()
}

// folder returns the folder of its files. It is for people: the values are read from the
// log alone.
func (p partition) folder(names []string) string {
	var b strings.Builder
	for i, v := range p {
		value := "__HIVE_DEFAULT_PARTITION__"
		if v != nil {
			value = escaped(*v)
		}
		b.WriteString(escaped(names[i]) + "=" + value + "/")
	}
	return b.String()
}

// escaped returns a text as a part of the name of a folder. Some file systems, and Azure, take
// a dot away from the end of a name.
func escaped(text string) string {
	text = strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	if rest, ok := strings.CutSuffix(text, "."); ok {
		return rest + "%2E"
	}
	return text
}

// fileNameLength is that of the name of a data file in its folder.
const fileNameLength = len("part-.parquet") + 26

// longest is how long names in a storage may be: all of it, and each part.
type longest struct{ whole, part int }

// refuses returns the column whose value makes the folder's name too long, and why; or -1.
func (l longest) refuses(p partition, names []string) (column int, reason string) {
	const advice = "shorten it in the query, as by left(…), or take the column out of partition_by"
	whole, worst, size := fileNameLength, 0, 0
	for i := range p {
		n := len(p[i:i+1].folder(names[i:i+1])) - 1
		if n > l.part {
			return i, fmt.Sprintf("a folder is named after the value of a partition column; "+
				"that name takes %d bytes, and the storage takes %d; %s", n, l.part, advice)
		}
		whole += n + 1
		if n > size {
			worst, size = i, n
		}
	}
	if whole > l.whole {
		return worst, fmt.Sprintf("a folder is named after the values of the partition columns; "+
			"with that name, a file's takes %d bytes, and the storage takes %d; %s", whole, l.whole, advice)
	}
	return -1, ""
}

// checkPartitioned returns an error if values of a column cannot name a partition.
func checkPartitioned(f arrow.Field) error {
	switch f.Type.(type) {
	case *arrow.BooleanType, *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type, *arrow.StringType,
		*arrow.Date32Type, *arrow.TimestampType, *arrow.Decimal128Type:
		return nil
	}
	return fmt.Errorf("partition_by names column %q of the type %s, whose values do not name partitions well; "+
		"use a number, a date, a timestamp or a text", f.Name, deltalog.TypeText(deltalog.TypeOf(f.Type)))
}

// partitionText writes a value as the log has it.
func partitionText(a arrow.Array, i int) (*string, error) {
	if a.IsNull(i) {
		return nil, nil
	}
	var text string
	switch a := a.(type) {
	case *array.String:
		text = strings.Clone(a.Value(i))
		if text == "" {
			return nil, refuse(i, "it is an empty text in a partition column, which Delta Lake reads as NULL; give it another "+
				"value in the query")
		}
	case *array.Int64:
		text = strconv.FormatInt(a.Value(i), 10)
	case *array.Date32:
		text = time.Unix(int64(a.Value(i))*24*60*60, 0).UTC().Format(time.DateOnly)
	case *array.Timestamp:
		text = time.UnixMicro(int64(a.Value(i))).UTC().Format("2006-01-02 15:04:05.000000")
	default:
		text = a.ValueStr(i)
	}
	return &text, nil
}

// group is the rows of a record that are of one partition.
type group struct {
	partition partition
	rows      []int64 // nil: all
}

// groups tells the rows of a record apart by the arrays of its partition columns, which
// have names. A value that cannot be held is a *refusedValue.
func groups(rows int, by []arrow.Array, names []string, most longest) ([]group, error) {
	var all []group
	at := map[string]int{}
	last := -1
	for row := range rows {
		if last >= 0 && !changed(by, row) {
			all[last].rows = append(all[last].rows, int64(row))
			continue
		}
		p := make(partition, len(by))
		for i, a := range by {
			v, err := partitionText(a, row)
			if err != nil {
				return nil, inColumn(err, names[i])
			}
			p[i] = v
		}
		key := p.key()
		found, ok := at[key]
		if !ok {
			if column, reason := most.refuses(p, names); reason != "" {
				return nil, &refusedValue{row, reason, names[column]}
			}
			found = len(all)
			at[key] = found
			all = append(all, group{partition: p})
		}
		last = found
		all[found].rows = append(all[found].rows, int64(row))
	}
	if len(all) == 1 {
		all[0].rows = nil
	}
	return all, nil
}

// changed reports whether a row may be of another partition than the one before.
func changed(by []arrow.Array, row int) bool {
	return slices.ContainsFunc(by, func(a arrow.Array) bool {
		if n, ok := a.(*array.Int64); ok && a.NullN() == 0 {
			return cmp.Compare(n.Value(row), n.Value(row-1)) != 0
		}
		return !array.SliceEqual(a, int64(row-1), int64(row), a, int64(row), int64(row+1))
	})
}

// pick returns some rows of a record, in the order given. The caller releases them.
func pick(rec arrow.RecordBatch, rows []int64) (arrow.RecordBatch, error) {
	indices := longs(rows)
	defer indices.Release()
	columns := make([]arrow.Array, rec.NumCols())
	defer releaseAll(columns)
	for i, c := range rec.Columns() {
		some, err := compute.TakeArray(context.Background(), c, indices)
		if err != nil {
			return nil, fmt.Errorf("pick rows: %w", err)
		}
		columns[i] = some
	}
	return array.NewRecordBatch(rec.Schema(), columns, int64(len(rows))), nil
}

// releaseAll releases arrays, as far as there are any.
func releaseAll(arrays []arrow.Array) {
	for _, a := range arrays {
		if a != nil {
			a.Release()
		}
	}
}

// longs returns numbers as an array, which shares their memory.
func longs(values []int64) arrow.Array {
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(arrow.GetBytes(values))}
	data := array.NewData(arrow.PrimitiveTypes.Int64, len(values), buffers, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// bucketed returns the block column rounded down to multiples of size.
func bucketed(blocks arrow.Array, size uint64) arrow.Array {
	switch a := blocks.(type) {
	case *array.Int8:
		return floored(a, a.Int8Values(), int64(size))
	case *array.Int16:
		return floored(a, a.Int16Values(), int64(size))
	case *array.Int32:
		return floored(a, a.Int32Values(), int64(size))
	default:
		return floored(a, a.(*array.Int64).Int64Values(), int64(size))
	}
}

func floored[T int8 | int16 | int32 | int64](a arrow.Array, values []T, size int64) arrow.Array {
	return each(arrow.PrimitiveTypes.Int64, a, values, func(v T) int64 { return arrowfmt.FloorDiv(int64(v), size) * size })
}
