package delta

import (
	"encoding/binary"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// FuzzState holds that no words in the transactions of a table make the reading of our
// state panic or take memory without bound, and that a state is read as it was written.
// The check sum is made right, so that what is behind it is reached.
func FuzzState(f *testing.F) {
	l := &sink.CommitState{Partial: map[block.Number]sink.Partial{7: {Batch: "ab", Parts: 3, Have: []int{0, 2}}}}
	l.Coverage.Add(block.Range{Start: 1, End: 5})
	l.Live = sink.LiveState{Started: true, Epoch: 2, Seq: 9, Start: 4, Cursor: block.Cursor{Network: "mainnet", Number: 8}}
	var seed []byte
	for _, w := range encodeCommitState(l) {
		seed = binary.LittleEndian.AppendUint64(seed, uint64(w))
	}
	f.Add(seed)
	f.Add(seed[:40])
	f.Fuzz(func(t *testing.T, text []byte) {
		var stateWords []int64
		for len(text) >= 8 {
			stateWords = append(stateWords, int64(binary.LittleEndian.Uint64(text)))
			text = text[8:]
		}
		if len(stateWords) >= 3 {
			stateWords[0], stateWords[2] = stateForm, int64(len(stateWords))
			stateWords[1] = int64(sum(stateWords[2:]))
		}
		l, err := decodeCommitState(stateWords)
		if err != nil {
			return
		}
		if _, err := decodeCommitState(encodeCommitState(l)); err != nil {
			t.Errorf("%+v: %v", l, err)
		}
	})
}
