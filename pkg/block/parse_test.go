package block_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]block.Number{
		"0": 0, "7": 7, "007": 7, "15000000": 15_000_000, "15_000_000": 15_000_000, "15M": 15_000_000, "15m": 15_000_000,
		"1.5k": 1500, "1.500k": 1500, "16.123456M": 16_123_456, "2B": 2_000_000_000, "1_0.5K": 10_500, "9223372036854775806": block.Max,
	} {
		if got, err := block.ParseNumber(text); got != want || err != nil {
			t.Errorf("%q reads as %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "_", "_1", "1_", "-1", "+1", "M", ".5M", "1.5", "1.2345k", "1e6", "0x10", "1,000", " 1", "1 M", "1MM", "1G", "٣",
		"9223372036854775807", "99999999999B", "18446744073709551617",
	} {
		if got, err := block.ParseNumber(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		} else if !strings.Contains(err.Error(), "block") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseRange(t *testing.T) {
	t.Parallel()
	within := block.Range{Start: 100, End: 20_000_000}
	for text, want := range map[string]block.Range{
		"16M:17M": {16_000_000, 17_000_000}, "16M:+10": {16_000_000, 16_000_010}, ":1000": {100, 1000}, "16M:": {16_000_000, 20_000_000},
		"+10": {100, 110}, ":+10": {100, 110}, "15_000_000": {15_000_000, 15_000_001}, "0:1": {0, 1}, "5:30M": {5, 30_000_000},
		"9223372036854775806": {block.Max, block.Max + 1},
	} {
		if got, err := block.ParseRange(text, within); got != want || err != nil {
			t.Errorf("%q reads as %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "want blocks", ":": "want blocks", "a:b": "want blocks", "1:2:3": "want blocks", "1-2": "want blocks", "[1,2)": "want blocks",
		"-5:10": "want blocks", "1:+": "want blocks", "5:5": "has no block", "9:1": "has no block", "+0": "has no block", ":50": "has no block",
		"30M:": "has no block", "5:9223372036854775807": "the highest block", "9223372036854775806:+2": "the highest block",
	} {
		if got, err := block.ParseRange(text, within); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q reads as %v, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, text := range []string{"16M:17M", ":1000", "+10", "15_000_000", "1.5k:+2B"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := block.ParseRange(text, block.Range{Start: 3, End: block.Max})
		if err == nil && (r.Empty() || r.Last() > block.Max) {
			t.Errorf("%q reads as %v", text, r)
		}
	})
}
