package entry_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

var update = flag.Bool("update", false, "write the golden files anew: the log's format has changed, so raise it with its readers")

// goldens are the entries whose bytes are kept in testdata: logs written by
// this version must stay readable.
func goldens(t testing.TB) (map[string]entry.Entry, arrow.RecordBatch) {
	rec := record(rand.New(rand.NewPCG(1, 2)), memory.DefaultAllocator, everything, everythingBlock,
		[]block.Number{17_000_000, 17_000_000, 17_000_002, 17_000_005}, 24)
	many := make([]arrow.RecordBatch, 40) // enough of the same to compress well
	for i := range many {
		many[i] = rec
	}
	h := entry.Header{Epoch: 1, Network: "mainnet", Range: block.Closed(17_000_000, 17_000_009), End: 17_001_000}
	out := map[string]entry.Entry{}
	encode := func(name string, codec entry.Codec, h entry.Header, recs ...arrow.RecordBatch) {
		e, err := mustEncoder(t, everything, codec, 1<<20).Encode(h, recs)
		if err != nil {
			t.Fatal(err)
		}
		if e.Codec != codec {
			t.Fatalf("%s has codec %s", name, e.Codec)
		}
		out[name] = e
	}
	encode("none", entry.None, h, rec)
	encode("s2", entry.S2, h, many...)
	encode("zstd", entry.Zstd, h, many...)
	encode("empty", entry.None, h)
	part := h
	part.Range, part.Part, part.Parts, part.Batch = block.Closed(17_000_000, 17_000_000), 1, 3, "00112233445566778899aabbccddeeff"
	encode("part", entry.None, part, rec.NewSlice(0, 2))
	hash := func(b byte) (h block.Hash) {
		for i := range h {
			h[i] = b
		}
		return h
	}
	seen := time.Date(2026, 11, 29, 12, 0, 0, 123_000, time.UTC)
	live := entry.Header{Epoch: 1, Network: "mainnet", Range: block.Closed(17_000_000, 17_000_009),
		Hash: hash(0xab), Prev: hash(0xcd), Seen: seen}
	encode("live", entry.None, live, rec)
	live.Complete = true
	encode("complete", entry.None, live, rec)
	live.Complete, live.Kind, live.End = false, entry.Watermark, 17_001_000
	out["seen"] = entry.Entry{Header: live}
	out["watermark"] = entry.Entry{Header: entry.Header{Kind: entry.Watermark, Epoch: 1, Network: "mainnet",
		Range: block.Closed(17_000_000, 17_000_009), Hash: hash(0xab), Prev: hash(0xcd)}}
	out["invalidate"] = entry.Entry{Header: entry.Header{Kind: entry.Invalidate, Epoch: 1, Network: "mainnet",
		Range: block.Closed(17_000_008, 17_000_009)}}
	out["ended"] = entry.Entry{Header: entry.Header{Kind: entry.Ended, Epoch: 1, Network: "mainnet",
		Range: block.Closed(17_000_008, 17_000_008), End: 17_001_000}}
	return out, rec
}

func headerText(m map[string][]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&text, "%s: %s\n", key, m[key][0])
	}
	return text.String()
}

func parseHeaderText(text string) map[string][]string {
	m := map[string][]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m[key] = []string{value}
	}
	return m
}

// TestGolden pins the format: what is written today equals the files (payloads
// only where no compressor is in between), and the files read back.
func TestGolden(t *testing.T) {
	entries, rec := goldens(t)
	for name, e := range entries {
		headers, payload := filepath.Join("testdata", name+".headers"), filepath.Join("testdata", name+".payload")
		if *update {
			if err := os.WriteFile(headers, []byte(headerText(e.Map())), 0o644); err != nil {
				t.Fatal(err)
			}
			if e.Payload != nil {
				if err := os.WriteFile(payload, e.Payload, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantHeaders, err := os.ReadFile(headers)
		if err != nil {
			t.Fatal(err)
		}
		if got := headerText(e.Map()); got != string(wantHeaders) {
			t.Errorf("%s: headers are\n%swant\n%s", name, got, wantHeaders)
		}
		var stored []byte
		if e.Kind == entry.Data {
			if stored, err = os.ReadFile(payload); err != nil {
				t.Fatal(err)
			}
			if e.Codec == entry.None && !bytes.Equal(stored, e.Payload) {
				t.Errorf("%s: the payload is not that of the file", name)
			}
		}
		old, err := entry.Parse(parseHeaderText(string(wantHeaders)), stored)
		if err != nil {
			t.Fatal(err)
		}
		if old.Header != e.Header {
			t.Errorf("%s reads as %+v", name, old.Header)
		}
		if e.Kind != entry.Data {
			continue
		}
		_, recs, err := entry.NewDecoder(nil).Decode(old)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]arrow.RecordBatch{"none": {rec}, "live": {rec}, "complete": {rec}, "s2": slices.Repeat([]arrow.RecordBatch{rec}, 40),
			"zstd": slices.Repeat([]arrow.RecordBatch{rec}, 40), "empty": nil, "part": {rec.NewSlice(0, 2)}}[name]
		mustEqualRows(t, everything, recs, want)
	}
}

// TestGoldensHaveEverything that an entry may have, by the page that describes it.
func TestGoldensHaveEverything(t *testing.T) {
	page, err := os.ReadFile("../../docs/log-format.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := goldens(t)
	kept := map[string]bool{}
	for name := range entries {
		headers, err := os.ReadFile(filepath.Join("testdata", name+".headers"))
		if err != nil {
			t.Fatal(err)
		}
		for header, values := range parseHeaderText(string(headers)) {
			kept[header] = true
			kept[header+": "+values[0]] = true
		}
	}
	names := regexp.MustCompile(`Ampipe-[A-Z]\w+`).FindAllString(string(page), -1)
	if len(names) == 0 {
		t.Fatal("the page names no header")
	}
	for _, kind := range []entry.Kind{entry.Data, "complete", entry.Watermark, entry.Invalidate, entry.Ended} {
		names = append(names, "Ampipe-Kind: "+string(kind))
	}
	for _, codec := range []entry.Codec{entry.None, entry.S2, entry.Zstd} {
		names = append(names, "Ampipe-Codec: "+string(codec))
	}
	kept["Ampipe-Id"] = true // the publisher's, not the entry's
	for _, name := range names {
		if !kept[name] {
			t.Errorf("no golden file has %s", name)
		}
	}
}
