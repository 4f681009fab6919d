package amp_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

const (
	hashA = "0x0deee2eaa7adb2b28c7fa731f79ea86e77e375f8ee0a0f2619ba6ec3eb2f68e6"
	hash0 = "0x0000000000000000000000000000000000000000000000000000000000000000"
)

func TestParseMetadata(t *testing.T) {
	t.Parallel()
	m, err := amp.ParseMetadata([]byte(`{"new":[1],"ranges_complete":true,"ranges":[
		{"timestamp":1718000000,"numbers":{"start":0,"end":2,"step":1},"HASH":1,"network":"anvil","hash":"` + hashA + `","prev_hash":"` + hash0 + `"},
		{"numbers":{"start":9,"end":4},"network":"base","hash":"` + hashA + `"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := block.ParseHash(hashA)
	if err != nil {
		t.Fatal(err)
	}
	want := amp.Metadata{Complete: true, Ranges: []amp.Range{
		{Network: "anvil", Numbers: block.Range{End: 3}, Hash: hash, HasPrev: true, Timestamp: time.Unix(1718000000, 0).UTC()},
		{Network: "base", Numbers: block.Range{Start: 9, End: 5}, Hash: hash},
	}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if !m.Ranges[1].Numbers.Empty() {
		t.Error("an inverted range is not empty")
	}
	if got := m.Ranges[0].Cursor(); got != (block.Cursor{Network: "anvil", Number: 2, Hash: hash}) {
		t.Errorf("cursor %v", got)
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	rangeWith := func(old, replacement string) string {
		good := `{"hash":"` + hashA + `","network":"anvil","numbers":{"end":2,"start":0},"prev_hash":"` + hash0 + `","timestamp":17}`
		return `{"ranges":[` + strings.Replace(good, old, replacement, 1) + `],"ranges_complete":false}`
	}
	if _, err := amp.ParseMetadata([]byte(rangeWith("", ""))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":            ``,
		"not JSON":           `ranges`,
		"null":               `null`,
		"cut":                `{"ranges":[`,
		"trailing text":      `{"ranges":[],"ranges_complete":true}x`,
		"no ranges":          `{"ranges_complete":true}`,
		"null ranges":        `{"ranges":null,"ranges_complete":true}`,
		"no completeness":    `{"ranges":[]}`,
		"other case":         `{"Ranges":[],"ranges_complete":true}`,
		"completeness text":  `{"ranges":[],"ranges_complete":"true"}`,
		"null range":         `{"ranges":[null],"ranges_complete":true}`,
		"no network":         rangeWith(`"network":"anvil",`, ``),
		"empty network":      rangeWith(`"anvil"`, `""`),
		"no numbers":         rangeWith(`"numbers":{"end":2,"start":0},`, ``),
		"no start":           rangeWith(`,"start":0`, ``),
		"no end":             rangeWith(`"end":2,`, ``),
		"number as text":     rangeWith(`"end":2`, `"end":"2"`),
		"fraction":           rangeWith(`"end":2`, `"end":2.5`),
		"negative":           rangeWith(`"end":2`, `"end":-2`),
		"number too high":    rangeWith(`"end":2`, `"end":18446744073709551615`),
		"start too high":     rangeWith(`"start":0`, `"start":9223372036854775807`),
		"no hash":            rangeWith(`"hash":"`+hashA+`",`, ``),
		"short hash":         rangeWith(hashA, hashA[:60]),
		"short prev hash":    rangeWith(hash0, "0x00"),
		"null prev hash":     rangeWith(`"`+hash0+`"`, "null"),
		"timestamp text":     rangeWith(`17}`, `"17"}`),
		"timestamp too late": rangeWith(`17}`, `1717171717171717}`),
		"network twice":      strings.Replace(rangeWith("", ""), `],`, `,`+rangeWith("", "")[11:], 1),
	} {
		if m, err := amp.ParseMetadata([]byte(text)); !errors.Is(err, amp.ErrMetadata) {
			t.Errorf("%s: %s reads as %+v, %v", name, text, m, err)
		}
	}
}

func TestMetadataRefusesWhatTheWireCannotSay(t *testing.T) {
	for name, r := range map[string]amp.Range{
		"no network":         {Numbers: block.Range{End: 1}},
		"empty at block 0":   {Network: "anvil"},
		"beyond the highest": {Network: "anvil", Numbers: block.Range{Start: 1<<64 - 2, End: 1<<64 - 1}},
		"before 1970":        {Network: "anvil", Numbers: block.Range{End: 1}, Timestamp: time.Unix(-1, 0)},
	} {
		if text, err := (amp.Metadata{Ranges: []amp.Range{r}}).MarshalJSON(); err == nil {
			t.Errorf("%s: written as %s", name, text)
		}
	}
}

// TestMetadataRoundTrip writes random metadata and reads it back.
func TestMetadataRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		m := amp.Metadata{Complete: rnd.IntN(2) == 0}
		for _, network := range []string{"anvil", "base<&>", "main\"net", "ü"}[:rnd.IntN(5)] {
			r := amp.Range{Network: network, HasPrev: true, Numbers: block.Closed(
				block.Number(rnd.Uint64N(uint64(block.Max)+1)), block.Number(rnd.Uint64N(uint64(block.Max)+1)))}
			for i := range r.Hash {
				r.Hash[i], r.Prev[i] = byte(rnd.Uint32()), byte(rnd.Uint32())
			}
			if rnd.IntN(2) == 0 {
				r.Timestamp = time.Unix(rnd.Int64N(1<<33), 0).UTC()
			}
			m.Ranges = append(m.Ranges, r)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := amp.ParseMetadata(text)
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%s reads back as\n%+v, want\n%+v (%v)", text, back, m, err)
		}
	}
}

// TestRecordedMetadata reads and rewrites every app_metadata that a real server
// sent: the bytes must be the same.
func TestRecordedMetadata(t *testing.T) {
	t.Parallel()
	texts := 0
	for _, recording := range amptest.Recordings(t) {
		for _, message := range recording.Messages {
			if message.Metadata == "" {
				continue // the schema message
			}
			texts++
			m, err := amp.ParseMetadata([]byte(message.Metadata))
			if err != nil {
				t.Fatalf("%s: %v", recording.Name, err)
			}
			if again, err := m.MarshalJSON(); err != nil || string(again) != message.Metadata {
				t.Fatalf("%s: rewritten as\n%s (%v), recorded\n%s", recording.Name, again, err, message.Metadata)
			}
		}
	}
	if texts == 0 {
		t.Fatal("no metadata was recorded")
	}
}

// FuzzMetadata feeds anything to the parser. What it accepts must survive being
// written and read again.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"ranges":[],"ranges_complete":true}`))
	f.Add([]byte(`{"ranges":[{"hash":"` + hashA + `","network":"anvil","numbers":{"end":2,"start":0},"prev_hash":"` + hash0 + `","timestamp":1718000000}],"ranges_complete":false}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := amp.ParseMetadata(text)
		if err != nil {
			if !errors.Is(err, amp.ErrMetadata) {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := m.MarshalJSON()
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", m, err)
		}
		for i := range m.Ranges {
			m.Ranges[i].HasPrev = true // always written
		}
		if back, err := amp.ParseMetadata(again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%s reads back as %+v, want %+v (%v)", again, back, m, err)
		}
	})
}
