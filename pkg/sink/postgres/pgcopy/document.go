package pgcopy

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Nested values become jsonb. PostgreSQL takes any JSON and answers in a form of
// its own: keys by length and then by bytes, ", " and ": " between, numbers as
// numeric prints them. The text written here is that form already, byte for
// byte, so that digests of both sides agree without anybody parsing.

// JSONB is that form.
const JSONB = arrowfmt.PlainFloats | arrowfmt.Spaces | arrowfmt.ShortEscapes | arrowfmt.Objects

const jsonbVersion = 1 // a byte before the text

const (
	keyTwice = "a map holds a key twice, and jsonb keeps only one of them; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
	keyNull = "a map holds a key that is NULL, which JSON does not have; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
)

// bindDocument is for nested values, as jsonb or json.
func bindDocument(binary bool) Bind {
	return func(arr arrow.Array) Values {
		v := Values{nulls: arrowfmt.NullsOf(arr), append: jsonField(JSONB.JSON(arr), binary)}
		_, isMap := arr.(*array.Map)
		if check := (arrowfmt.Checks{Leaf: leafCheck, Map: mapChecks}).Of(arr); check != nil {
			v.check(func(i int) string {
				reason := check(i)
				if reason == "" || (isMap && (reason == keyTwice || reason == keyNull)) {
					return reason
				}
				return within(reason)
			})
		}
		return v
	}
}

// jsonField writes a text as a field of a column jsonb or json.
func jsonField(text arrowfmt.Append, binary bool) func(dst []byte, i int) []byte {
	head := []byte{0, 0, 0, 0, jsonbVersion}
	if !binary {
		head = head[:4]
	}
	return func(dst []byte, i int) []byte {
		start := len(dst)
		return setLen(text(append(dst, head...), i), start)
	}
}

// leafCheck returns the check of a column of the same type, where jsonb has it too: its
// numbers and durations have no bounds.
func leafCheck(arr arrow.Array) arrowfmt.Check {
	switch arr.DataType().ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP:
	default:
		return nil
	}
	e, err := Default(arr.DataType())
	if err != nil {
		panic(err) // the schema was checked when the table was opened
	}
	values := e.Bind(arr)
	return func(i int) string {
		_, reason := values.Invalid(i, i+1)
		return reason
	}
}

// mapChecks are of maps that become objects.
func mapChecks(a *array.Map) (entry, value arrowfmt.Check) {
	if !arrowfmt.IsText(arrowfmt.Underlying(a.Keys().DataType())) {
		return nil, nil
	}
	repeated := arrowfmt.RepeatedKeys(a)
	entry = func(k int) string {
		if a.Keys().IsNull(k) {
			return keyNull
		}
		return ""
	}
	value = func(i int) string {
		if repeated(i) {
			return keyTwice
		}
		return ""
	}
	return entry, value
}

// within returns the reason why a value is refused that is within another: what would
// help a column of its own does not help there.
func within(reason string) string {
	what, _, _ := strings.Cut(reason, "; ")
	return what + "; filter such rows out in the query, or leave <column> out of it"
}

// checkFields reports whether the fields of a nested type can be written as JSON without
// loss.
func checkFields(dt arrow.NestedType) error {
	seen := make(map[string]bool)
	for _, f := range dt.Fields() {
		if dt.ID() == arrow.STRUCT {
			if seen[f.Name] {
				return fmt.Errorf("a struct has two fields called %q, and jsonb keeps only one of them; rename one in the query", f.Name)
			}
			if invalidText([]byte(f.Name)) != "" {
				return fmt.Errorf("a struct has a field called %q, which PostgreSQL cannot store; rename it in the query", f.Name)
			}
			seen[f.Name] = true
		}
		if _, err := Default(f.Type); err != nil {
			return err
		}
	}
	return nil
}

// fitDocument takes texts that are JSON, and nested values. It returns nil for others.
func fitDocument(dt arrow.DataType, binary bool) Bind {
	if arrowfmt.IsText(dt) {
		return bindJSONText(binary)
	}
	if _, _, err := mapping(dt); !arrow.IsNested(dt.ID()) || err != nil {
		return nil
	}
	return bindDocument(binary)
}

// bindJSONText is for texts that are JSON.
func bindJSONText(binary bool) Bind {
	return func(arr arrow.Array) Values {
		b := blobsOf(arr)
		value := b.value
		b.check(func(i int) string {
			if _, err := canonicalJSON(nil, value(i), binary); err != nil {
				return fmt.Sprintf("the text is no JSON that PostgreSQL takes (%v); filter such rows out in the query", err)
			}
			return ""
		})
		if binary {
			b.append = jsonField(func(dst []byte, i int) []byte {
				dst, _ = canonicalJSON(dst, value(i), true) // the row is valid
				return dst
			}, true)
		}
		return b.Values
	}
}

// bindArray is for lists that become arrays of one dimension, of elements of a type.
func bindArray(element Bind, oid uint32) Bind {
	return func(arr arrow.Array) Values {
		list := arr.(array.ListLike)
		elements := element(list.ListValues())
		v := Values{nulls: arrowfmt.NullsOf(arr)}
		v.check(func(i int) string {
			first, end := list.ValueOffsets(i)
			if row, reason := elements.Invalid(int(first), int(end)); row >= 0 {
				return within(reason)
			}
			return ""
		})
		// The count of dimensions, whether there is a NULL, the type of the elements and,
		// unless there are none, their count and the lowest index.
		v.append = func(dst []byte, i int) []byte {
			first, end := list.ValueOffsets(i)
			start, dimensions := len(dst), 1
			if first == end {
				dimensions = 0
			}
			dst = appendLen(append(dst, 0, 0, 0, 0), dimensions)
			dst = binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 0), oid)
			if first < end {
				dst = append(appendLen(dst, int(end-first)), 0, 0, 0, 1)
			}
			for k := first; k < end; k++ {
				if elements.nulls.Null(int(k)) {
					dst[start+11] = 1
				}
				dst = elements.Append(dst, int(k))
			}
			return setLen(dst, start)
		}
		return v
	}
}
