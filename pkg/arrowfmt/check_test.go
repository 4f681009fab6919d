package arrowfmt_test

import (
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/layout"
)

// odd refuses odd integers, and lists maps' entries that it was asked about.
func odd(arr arrow.Array) arrowfmt.Check {
	a, ok := arr.(*array.Int64)
	if !ok {
		return nil
	}
	return func(i int) string {
		if v := a.Value(i); v%2 != 0 {
			return strconv.FormatInt(v, 10) + " is odd"
		}
		return ""
	}
}

func TestChecksFindValuesHoweverDeep(t *testing.T) {
	t.Parallel()
	number, text := arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	for _, c := range []struct {
		golden
		want []string
	}{
		{golden{number, []string{"2", "3", null}}, []string{"", "3 is odd", ""}},
		{golden{arrow.ListOf(number), []string{"[2,4]", "[2,null,5,7]", "[]", null}}, []string{"", "5 is odd", "", ""}},
		{golden{arrow.StructOf(arrow.Field{Name: "a", Type: text, Nullable: true}, arrow.Field{Name: "b", Type: arrow.FixedSizeListOf(2, number), Nullable: true}),
			[]string{`{"a":"x","b":[2,2]}`, `{"a":"x","b":[2,1]}`, `{"a":"x","b":null}`, null}}, []string{"", "1 is odd", "", ""}},
		{golden{arrow.MapOf(number, arrow.ListOf(number)), []string{`[{"key":2,"value":[4]},{"key":4,"value":[9]}]`, `[{"key":1,"value":[3]}]`, "[]", null}},
			[]string{"9 is odd", "1 is odd", "", ""}},
		{golden{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: number}, []string{"2", "3", null, "3"}}, []string{"", "3 is odd", "", "3 is odd"}},
	} {
		arr := build(t, c.golden)
		for name, arr := range map[string]arrow.Array{"": arr, " of a slice": array.NewSlice(arr, 1, int64(arr.Len()))} {
			check := arrowfmt.Checks{Leaf: odd}.Of(arr)
			want := c.want[len(c.want)-arr.Len():]
			for i := range arr.Len() {
				if got := check(i); got != want[i] {
					t.Errorf("value %d%s of %s: %q, want %q", i, name, c.dt, got, want[i])
				}
			}
		}
	}
}

func TestChecksOfWhatIsNeverRefused(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Some() {
		checks := arrowfmt.Checks{Leaf: func(arrow.Array) arrowfmt.Check { return nil }}
		if checks.Of(c.Cases[0].Array) != nil {
			t.Errorf("values of the type %s are checked, though no leaf is", c.Name)
		}
	}
}

func TestChecksOfMaps(t *testing.T) {
	t.Parallel()
	arr := build(t, golden{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64),
		[]string{`[{"key":"a","value":2},{"key":"b","value":4}]`, `[{"key":"a","value":2},{"key":"","value":2},{"key":"a","value":4}]`, `[{"key":"a","value":3},{"key":"a","value":4}]`}})
	asked := 0
	check := arrowfmt.Checks{Leaf: odd, Map: func(a *array.Map) (entry, value arrowfmt.Check) {
		repeated := arrowfmt.RepeatedKeys(a)
		entry = func(int) string { asked++; return "" }
		value = func(i int) string { return map[bool]string{true: "repeated"}[repeated(i)] }
		return entry, value
	}}.Of(arr)
	for i, want := range []string{"", "repeated", "3 is odd"} {
		if got := check(i); got != want {
			t.Errorf("value %d: %q, want %q", i, got, want)
		}
	}
	if asked != 6 { // 2, 3, and 1: the first reason counts
		t.Errorf("asked about %d entries, want 6", asked)
	}
}

// TestLayouts holds that values are the same text in every layout, those without any bytes
// among them.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Columns() {
		if nested := c.Type.ID() == arrow.LIST && c.Type.(*arrow.ListType).Elem().ID() == arrow.STRUCT; nested {
			continue // by far the most cases
		}
		for _, k := range c.Cases {
			for _, o := range []arrowfmt.Options{compact, jsonb} {
				got, want := o.JSON(k.Array), o.JSON(k.Plain)
				for i := range k.Plain.Len() {
					if got, want := string(got(nil, i)), string(want(nil, i)); got != want {
						t.Errorf("%s, %s, value %d: %s, want %s", c.Name, k.Name, i, got, want)
					}
				}
			}
		}
	}
}
