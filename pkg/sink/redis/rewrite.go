package redis

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// appendRewritten writes a document of RedisJSON as this package would have written
// it. The module keeps what a document says and not its text: 1e+06 comes back as
// 1000000.0, \u000a as \n. The order of fields stays. What is no document is copied
// as it is.
func appendRewritten(dst, doc []byte) []byte {
	for i := 0; i < len(doc); {
		n := 1
		switch c := doc[i]; {
		case c == '"':
			n = quoted(doc[i:])
			dst = appendRequoted(dst, doc[i:i+n])
		case c == '-' || c >= '0' && c <= '9':
			n = bytes.IndexAny(doc[i:], ",]}")
			if n < 0 {
				n = len(doc) - i
			}
			dst = appendNumber(dst, doc[i:i+n])
		default:
			dst = append(dst, c)
		}
		i += n
	}
	return dst
}

// quoted returns the length of the JSON string that text begins with.
func quoted(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func appendRequoted(dst, text []byte) []byte {
	var s string
	if bytes.IndexByte(text, '\\') < 0 || json.Unmarshal(text, &s) != nil {
		return append(dst, text...)
	}
	return format.Documents.AppendString(dst, []byte(s))
}

// appendNumber writes a float as floats are written, and an integer as it is.
func appendNumber(dst, text []byte) []byte {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !bytes.ContainsAny(text, ".eE") {
		return append(dst, text...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64) // as floats of 32 bits: their digits are the same
}
