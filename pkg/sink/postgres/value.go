package postgres

import (
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/sink/decimals"
)

// longestShown is how many characters of a value a message shows.
const longestShown = 100

// shown is a value for a message of one line: cut, bytes as 0x and digits.
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
	case isText(dt):
		v := blobsOf(arr).value(row)
		return strconv.Quote(cut(string(v[:min(len(v), 4*longestShown+4)])))
	case arrow.IsDecimal(dt.ID()):
		return cut(string(decimals.Printer(arr)(nil, row)))
	case bindHex(dt) != nil:
		v := blobsOf(arr).value(row)
		return cut(string(appendHex(nil, v[:min(len(v), longestShown)])))
	}
	text := strings.Join(strings.Fields(arr.ValueStr(row)), " ")
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
func (g *target) advise(reason string, c column, arr arrow.Array, row int) string {
	pairs := []string{"<table>", g.quoted(), "<column>", quoted(c.name)}
	if strings.Contains(reason, "<literal>") {
		pairs = append(pairs, "<literal>", literal(string(textOf(arr, row))))
	}
	return strings.NewReplacer(pairs...).Replace(reason)
}

// textOf returns a value of a column of texts.
func textOf(arr arrow.Array, row int) []byte {
	switch a := arr.(type) {
	case *array.Dictionary:
		return textOf(a.Dictionary(), a.GetValueIndex(row))
	case array.ExtensionArray:
		return textOf(a.Storage(), row)
	default:
		return blobsOf(arr).value(row)
	}
}
