package arrowfmt

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

func (o Options) comma() string {
	if o.has(Spaces) {
		return ", "
	}
	return ","
}

func (o Options) colon() string {
	if o.has(Spaces) {
		return ": "
	}
	return ":"
}

func (o Options) lists(a array.ListLike) Append {
	values, comma := o.JSON(a.ListValues()), o.comma()
	return func(dst []byte, i int) []byte {
		dst = append(dst, '[')
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			if k > from {
				dst = append(dst, comma...)
			}
			dst = values(dst, int(k))
		}
		return append(dst, ']')
	}
}

func (o Options) structs(a *array.Struct) Append {
	fields := a.DataType().(*arrow.StructType).Fields()
	if len(fields) == 0 {
		return func(dst []byte, _ int) []byte { return append(dst, "{}"...) }
	}
	order := make([]int, len(fields))
	for i := range order {
		order[i] = i
	}
	if o.has(Objects) {
		slices.SortFunc(order, func(x, y int) int { return CompareKeys([]byte(fields[x].Name), []byte(fields[y].Name)) })
	}
	type member struct {
		label []byte // with what stands before it
		value Append
	}
	members := make([]member, len(fields))
	for k, at := range order {
		label := []byte("{")
		if k > 0 {
			label = []byte(o.comma())
		}
		label = append(o.AppendString(label, []byte(fields[at].Name)), o.colon()...)
		members[k] = member{label, o.JSON(a.Field(at))}
	}
	return func(dst []byte, i int) []byte {
		for _, m := range members {
			dst = m.value(append(dst, m.label...), i)
		}
		return append(dst, '}')
	}
}

// CompareKeys compares keys by length and then by bytes, the order of PostgreSQL's jsonb.
func CompareKeys(a, b []byte) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

func (o Options) maps(a *array.Map) Append {
	if o.has(Objects) && IsText(Underlying(a.Keys().DataType())) {
		return o.objects(a)
	}
	keys, items, comma := o.JSON(a.Keys()), o.JSON(a.Items()), o.comma()
	return func(dst []byte, i int) []byte {
		dst = append(dst, '[')
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			if k > from {
				dst = append(dst, comma...)
			}
			dst = append(keys(append(dst, '['), int(k)), comma...)
			dst = append(items(dst, int(k)), ']')
		}
		return append(dst, ']')
	}
}

func (o Options) objects(a *array.Map) Append {
	entries, items := sortedEntries(a), o.JSON(a.Items())
	comma, colon := o.comma(), o.colon()
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for k, e := range entries(i) {
			if k > 0 {
				dst = append(dst, comma...)
			}
			dst = append(o.AppendString(dst, e.key), colon...)
			dst = items(dst, e.at)
		}
		return append(dst, '}')
	}
}

// entry is a key of a map that is a text, and where it stands among all keys.
type entry struct {
	key []byte
	at  int
}

// sortedEntries returns a function that returns the entries of a value in the order of [CompareKeys].
func sortedEntries(a *array.Map) func(i int) []entry {
	keys := Bytes(a.Keys())
	return func(i int) []entry {
		from, to := a.ValueOffsets(i)
		all := make([]entry, 0, to-from)
		for k := int(from); k < int(to); k++ {
			all = append(all, entry{keys(k), k})
		}
		slices.SortFunc(all, func(a, b entry) int { return CompareKeys(a.key, b.key) })
		return all
	}
}

// RepeatedKeys returns a function that reports whether value i of a map whose keys are texts holds a
// key more than once.
func RepeatedKeys(a *array.Map) func(i int) bool {
	entries := sortedEntries(a)
	return func(i int) bool {
		all := entries(i)
		for k := 1; k < len(all); k++ {
			if bytes.Equal(all[k-1].key, all[k].key) {
				return true
			}
		}
		return false
	}
}
