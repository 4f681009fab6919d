package entry_test

import (
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
	"github.com/ampipe/ampipe/pkg/entry"
)

// FuzzDecode feeds damaged payloads to the decoder: it must give an error or
// rows whose every value can be read.
func FuzzDecode(f *testing.F) {
	entries, _ := goldens(f)
	for _, e := range entries {
		if e.Kind == entry.Data {
			f.Add(string(e.Codec), e.Schema, e.Rows, e.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, codec, schema string, rows int, payload []byte) {
		dec := entry.NewDecoder(nil)
		dec.Limit = 1 << 22
		_, recs, err := dec.Decode(entry.Entry{
			Header:  entry.Header{Kind: entry.Data, Codec: entry.Codec(codec), Schema: schema, Rows: rows},
			Payload: payload,
		})
		if err != nil {
			return
		}
		for _, rec := range recs {
			guardtest.Walk(rec)
		}
		releaseAll(recs)
	})
}

// FuzzParse: headers of any kind give an error or an entry whose headers give
// that entry again.
func FuzzParse(f *testing.F) {
	entries, _ := goldens(f)
	for _, e := range entries {
		f.Add(headerText(e.Map()), e.Kind == entry.Data)
	}
	f.Fuzz(func(t *testing.T, text string, withPayload bool) {
		var payload []byte
		if withPayload {
			payload = []byte{1}
		}
		e, err := entry.Parse(parseHeaderText(text), payload)
		if err != nil {
			return
		}
		again, err := entry.Parse(e.Map(), payload)
		if err != nil || again.Header != e.Header {
			t.Fatalf("%s\nreads as %+v, then as %+v (%v)", fmt.Sprint(e.Map()), e.Header, again.Header, err)
		}
	})
}
