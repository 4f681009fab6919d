package postgres

import (
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

// jsonb is that form.
const jsonb = arrowfmt.PlainFloats | arrowfmt.Spaces | arrowfmt.ShortEscapes | arrowfmt.Objects

const (
	keyTwice = "a map holds a key twice, and jsonb keeps only one of them; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
	keyNull = "a map holds a key that is NULL, which JSON does not have; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
)

// documents are the values of a nested column.
type documents struct {
	validity
	json  arrowfmt.Append
	check arrowfmt.Check // nil: no value can be refused
	isMap bool
}

func bindDocument(arr arrow.Array) cells {
	_, isMap := arr.(*array.Map)
	checks := arrowfmt.Checks{Leaf: leafCheck, Map: mapChecks}
	return &documents{validityOf(arr), jsonb.JSON(arr), checks.Of(arr), isMap}
}

// leafCheck returns the check of a column of the same type, where jsonb has it too: its
// numbers and durations have no bounds.
func leafCheck(arr arrow.Array) arrowfmt.Check {
	switch arr.DataType().ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP:
	default:
		return nil
	}
	_, bind, err := mapping(arr.DataType())
	if err != nil {
		panic(err) // the schema was checked when the table was opened
	}
	values := bind(arr)
	return func(i int) string {
		_, reason := values.invalid(i, i+1)
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

const jsonbVersion = 1 // a byte before the text

func (c *documents) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	start := len(dst)
	dst = c.json(append(dst, 0, 0, 0, 0, jsonbVersion), i)
	appendLen(dst[start:start], len(dst)-start-4)
	return dst
}

func (c *documents) invalid(from, to int) (int, string) {
	if c.check == nil {
		return -1, ""
	}
	for i := from; i < to; i++ {
		if reason := c.check(i); reason != "" {
			if c.isMap && (reason == keyTwice || reason == keyNull) {
				return i, reason
			}
			return i, within(reason)
		}
	}
	return -1, ""
}

// within returns the reason why a value is refused that is within another: what would
// help a column of its own does not help there.
func within(reason string) string {
	what, _, _ := strings.Cut(reason, "; ")
	return what + "; filter such rows out in the query, or leave <column> out of it"
}

// checkDocument reports whether a type can be written as JSON without loss.
func checkDocument(dt arrow.DataType) error {
	switch dt := dt.(type) {
	case *arrow.StructType:
		seen := make(map[string]bool)
		for _, f := range dt.Fields() {
			if seen[f.Name] {
				return fmt.Errorf("a struct has two fields called %q, and jsonb keeps only one of them; rename one in the query", f.Name)
			}
			if invalidText([]byte(f.Name)) != "" {
				return fmt.Errorf("a struct has a field called %q, which PostgreSQL cannot store; rename it in the query", f.Name)
			}
			seen[f.Name] = true
			if err := checkDocument(f.Type); err != nil {
				return err
			}
		}
		return nil
	case arrow.NestedType: // lists and maps; a map is a list of structs
		switch dt.ID() {
		case arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
			_, _, err := mapping(dt)
			return err
		}
		for _, f := range dt.Fields() {
			if err := checkDocument(f.Type); err != nil {
				return err
			}
		}
		return nil
	case *arrow.DictionaryType:
		return checkDocument(dt.ValueType)
	case arrow.ExtensionType:
		return checkDocument(dt.StorageType())
	default:
		_, _, err := mapping(dt)
		return err
	}
}
