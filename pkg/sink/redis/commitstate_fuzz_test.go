package redis

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// FuzzCommitState holds that no state that somebody has written to Redis makes its reading
// panic, and that what cannot be read is refused for good. Lines of the text are values,
// "=" begins the next of the lists that the script answers with.
func FuzzCommitState(f *testing.F) {
	for _, seed := range []string{
		"format\n" + format.Single + "\nfloor\n0000000000000001\nepoch\n1\nseq\n7\nstart\n0000000000000010\ncursor_network\nn\ncursor_block\n12\ncursor_hash\n" + strings.Repeat("ab", 32) +
			"\n=\n00000000000000000000000000000010\n=\n0000000000000011\n3 batch\n0000000000000011:0\nall\n0000000000000011:1\n128",
		"format\n" + format.Single + "\n=\n=", "format\n" + format.Single + "\nstart\nx\n=\n0\n=\n", "", "=", "format\n" + format.Single + "\n=\nffffffffffffffff0000000000000000\n=",
		"format\n" + format.Single + "\n=\n=\n=\n=\nformat\n" + format.Clustered,
	} {
		f.Add(seed, false)
		f.Add(strings.Replace(seed, "format\n"+format.Single, "format\n"+format.Clustered+"\nid\nx\nfence\n0000000000000001\npending\na b c", 1), true)
	}
	f.Fuzz(func(t *testing.T, text string, clustered bool) {
		var answer []any
		list := []any{}
		for line := range strings.SplitSeq(text, "\n") {
			if line == "=" {
				answer, list = append(answer, list), []any{}
				continue
			}
			list = append(list, line)
		}
		version := format.Single
		if clustered {
			version = format.Clustered
		}
		l, err := parseCommitState(append(answer, list), version, clustered)
		if err != nil && fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%v is not permanent", err)
		}
		if err == nil {
			for _, r := range l.Coverage.Ranges() {
				if r.Empty() {
					t.Errorf("coverage %v", l.Coverage)
				}
			}
		}
	})
}
