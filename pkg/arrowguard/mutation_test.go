package arrowguard

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// TestEveryByteForged puts other values into every place of every message of a
// stream of all types, one at a time: each ends in an error or in rows that can be read.
func TestEveryByteForged(t *testing.T) {
	whole := guardtest.Record(t)
	messages := guardtest.Write(t, []arrow.RecordBatch{whole})
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	passed, refused := 0, 0
	try := func(i int, forged guardtest.Message, at int, what any) {
		defer func() {
			if p := recover(); p != nil {
				t.Fatalf("message %d, byte %d, %v: %v", i, at, what, p)
			}
		}()
		all := bytesOf(messages, i, forged)
		recs, err := read(t, all)
		if err != nil {
			refused++
			return
		}
		passed++
		for _, rec := range recs {
			guardtest.Walk(rec)
		}
	}
	for i, m := range messages {
		for part, text := range [][]byte{m.Metadata, m.Body} {
			for at := range text {
				for _, v := range replaced(text, at) {
					forged := m
					if part == 0 {
						forged.Metadata = v
					} else {
						forged.Body = v
					}
					try(i, forged, at, part)
				}
			}
		}
	}
	t.Logf("%d forgeries were refused, %d passed and were read", refused, passed)
	if refused == 0 || passed == 0 {
		t.Error("all of one kind: nothing was tested")
	}
}

func bytesOf(messages []guardtest.Message, i int, forged guardtest.Message) []guardtest.Message {
	all := append([]guardtest.Message(nil), messages...)
	all[i] = forged
	return all
}

// replaced returns copies of text with other bytes, and where numbers stand other
// numbers, at a place.
func replaced(text []byte, at int) [][]byte {
	var all [][]byte
	put := func(v ...byte) {
		if at+len(v) <= len(text) && !bytes.Equal(text[at:at+len(v)], v) {
			forged := bytes.Clone(text)
			copy(forged[at:], v)
			all = append(all, forged)
		}
	}
	for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, text[at] + 1, text[at] - 1} {
		put(v)
	}
	if at%4 == 0 {
		for _, v := range []int32{math.MinInt32, math.MaxInt32, 1 << 20} {
			put(binary.LittleEndian.AppendUint32(nil, uint32(v))...)
		}
	}
	if at%8 == 0 {
		for _, v := range []int64{math.MinInt64, math.MaxInt64, -1, 1 << 40} {
			put(binary.LittleEndian.AppendUint64(nil, uint64(v))...)
		}
	}
	return all
}
