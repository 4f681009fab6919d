package postgres

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// longestShown is how many characters of a value a message shows.
const longestShown = 100

// shown returns a value for a message of one line: cut, bytes as 0x and digits.
func shown(arr arrow.Array, row int) string {
	if arr.IsNull(row) {
		return "NULL"
	}
	switch a := arr.(type) {
	case *array.Dictionary:
		return shown(a.Dictionary(), a.GetValueIndex(row))
	case array.ExtensionArray:
		return shown(a.Storage(), row)
	}
	switch dt := arr.DataType(); {
	case arrowfmt.IsText(dt):
		v := arrowfmt.Bytes(arr)(row)
		return strconv.Quote(cut(string(v[:min(len(v), 4*longestShown+4)])))
	case arrow.IsDecimal(dt.ID()):
		return cut(string(arrowfmt.Decimals(arr)(nil, row)))
	case arrowfmt.IsBytes(dt):
		v := arrowfmt.Bytes(arr)(row)
		return cut(string(arrowfmt.AppendHex(nil, v[:min(len(v), longestShown)])))
	}
	var text string
	if _, nested := arr.DataType().(arrow.NestedType); nested {
		text = strings.ToValidUTF8(string(pgcopy.JSONB.Text(arr)(nil, row)), string(utf8.RuneError))
	} else {
		text = arr.ValueStr(row)
	}
	text = strings.Join(strings.Fields(text), " ")
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	return cut(text)
}

// cut shortens a text to what a message shows.
func cut(text string) string {
	runes := []rune(text)
	if len(runes) <= longestShown {
		return text
	}
	return string(runes[:longestShown]) + "…"
}

// advise fills in what the advice of a reason is about. Reasons are made where table and
// column have no names.
func (g *tableSpec) advise(reason string, c column, arr arrow.Array, row int) string {
	pairs := []string{"<table>", g.quoted(), "<column>", quoted(c.name)}
	if strings.Contains(reason, "<literal>") {
		pairs = append(pairs, "<literal>", literal(string(arrowfmt.Bytes(arr)(row))))
	}
	return strings.NewReplacer(pairs...).Replace(reason)
}
