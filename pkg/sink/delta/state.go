package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// What the table says of itself, its commit state, is kept in txn actions: the place
// that the protocol has for an application's progress. Every writer preserves
// them, in commits and in checkpoints, and none of another application's makes a
// commit conflict with ours or with a foreign one. A txn is a name and one
// 64-bit number, so the state is written as numbered words; a commit writes
// those that have changed.

const stateForm = 1 // of the words

// errState says that the words do not fit together.
var errState = fault.Permanent(errors.New("what the table's log says about the loaded blocks is damaged: " +
	"were txn actions removed from it? Load into a new table, or with overwrite: true"))

// appID names the application's transactions: appID itself counts its commits,
// and its words follow.
func appID(pipeline, sink string) string { return "ampipe:" + pipeline + ":" + sink }

func stateWordID(app string, i int) string { return fmt.Sprintf("%s#%d", app, i) }

// readCommitState returns what a version of the table has; false if the application
// never wrote to it.
func readCommitState(s *deltalog.Snapshot, app string) (*sink.CommitState, bool, error) {
	if _, begun := s.Txns[app]; !begun {
		return &sink.CommitState{}, false, nil
	}
	var stateWords []int64
	for i := 0; ; i++ {
		t, ok := s.Txns[stateWordID(app, i)]
		if !ok {
			break
		}
		stateWords = append(stateWords, t.Version)
	}
	l, err := decodeCommitState(stateWords)
	return l, true, err
}

// commitStateActions returns the actions that make s say what l says: the count of the
// commit, and the words that change. now is in milliseconds.
func commitStateActions(s *deltalog.Snapshot, app string, l *sink.CommitState, now int64) []deltalog.Action {
	actions := []deltalog.Action{{Txn: &deltalog.Txn{AppID: app, Version: s.Txns[app].Version + 1, LastUpdated: now}}}
	for i, w := range encodeCommitState(l) {
		id := stateWordID(app, i)
		if have, ok := s.Txns[id]; !ok || have.Version != w {
			actions = append(actions, deltalog.Action{Txn: &deltalog.Txn{AppID: id, Version: w, LastUpdated: now}})
		}
	}
	return actions
}

// encodeCommitState writes form, check sum and number of words, then the live state,
// the ranges of the coverage and the blocks that are there in part.
func encodeCommitState(l *sink.CommitState) []int64 {
	w := stateWordWriter{stateForm, 0, 0}
	live := l.Live
	w.flag(live.Started)
	w.put(live.Epoch, live.Seq, uint64(live.Start), uint64(live.Cursor.Number))
	w.bytes(live.Cursor.Hash[:])
	w.bytes([]byte(live.Cursor.Network))
	ranges := l.Coverage.Ranges()
	w.put(uint64(len(ranges)))
	for _, r := range ranges {
		w.put(uint64(r.Start), uint64(r.End))
	}
	w.put(uint64(len(l.Partial)))
	for _, n := range slices.Sorted(maps.Keys(l.Partial)) {
		p := l.Partial[n]
		w.put(uint64(n), uint64(p.Parts), uint64(len(p.Have)))
		for _, part := range p.Have {
			w.put(uint64(part))
		}
		w.bytes([]byte(p.Batch))
	}
	w[2] = int64(len(w))
	w[1] = int64(sum(w[2:]))
	return w
}

func sum(stateWords []int64) uint64 {
	h := xxh3.New()
	var b [8]byte
	for _, w := range stateWords {
		binary.LittleEndian.PutUint64(b[:], uint64(w))
		_, _ = h.Write(b[:]) // a hash takes everything
	}
	return h.Sum64()
}

type stateWordWriter []int64

func (w *stateWordWriter) put(all ...uint64) {
	for _, v := range all {
		*w = append(*w, int64(v))
	}
}

func (w *stateWordWriter) flag(v bool) {
	if v {
		w.put(1)
	} else {
		w.put(0)
	}
}

// bytes writes a length and the bytes, eight to a word.
func (w *stateWordWriter) bytes(b []byte) {
	w.put(uint64(len(b)))
	for chunk := range slices.Chunk(b, 8) {
		var full [8]byte
		copy(full[:], chunk)
		w.put(binary.BigEndian.Uint64(full[:]))
	}
}

// decodeCommitState reads what encodeCommitState wrote. Words of an older, longer state may
// follow.
func decodeCommitState(stateWords []int64) (*sink.CommitState, error) {
	if len(stateWords) > 0 && stateWords[0] > stateForm {
		return nil, fault.Permanent(errors.New("the table was written by a newer ampipe; use that version"))
	}
	if len(stateWords) < 3 || stateWords[0] != stateForm || stateWords[2] < 3 || stateWords[2] > int64(len(stateWords)) {
		return nil, errState
	}
	stateWords = stateWords[:stateWords[2]]
	if uint64(stateWords[1]) != sum(stateWords[2:]) {
		return nil, errState
	}
	r := stateWordReader{left: stateWords[3:]}
	l := &sink.CommitState{}
	l.Live.Started = r.next() == 1
	l.Live.Epoch, l.Live.Seq = r.next(), r.next()
	l.Live.Start, l.Live.Cursor.Number = block.Number(r.next()), block.Number(r.next())
	copy(l.Live.Cursor.Hash[:], r.bytes())
	l.Live.Cursor.Network = string(r.bytes())
	for range r.count() {
		l.Coverage.Add(block.Range{Start: block.Number(r.next()), End: block.Number(r.next())})
	}
	for range r.count() {
		n := block.Number(r.next())
		p := sink.Partial{Parts: int(r.next())}
		for range r.count() {
			p.Have = append(p.Have, int(r.next()))
		}
		p.Batch = string(r.bytes())
		if l.Partial == nil {
			l.Partial = map[block.Number]sink.Partial{}
		}
		l.Partial[n] = p
	}
	if r.short || len(r.left) > 0 {
		return nil, errState
	}
	return l, nil
}

// stateWordReader takes words off the front; after the last it returns zeros.
type stateWordReader struct {
	left  []int64
	short bool
}

func (r *stateWordReader) next() uint64 {
	if len(r.left) == 0 {
		r.short = true
		return 0
	}
	w := r.left[0]
	r.left = r.left[1:]
	return uint64(w)
}

// count reads a number of things of at least a word each.
func (r *stateWordReader) count() uint64 {
	n := r.next()
	if n > uint64(len(r.left)) {
		r.short = true
		return 0
	}
	return n
}

func (r *stateWordReader) bytes() []byte {
	n := r.next()
	if n > uint64(len(r.left))*8 {
		r.short = true
		return nil
	}
	b := make([]byte, 0, n+8)
	for uint64(len(b)) < n {
		b = binary.BigEndian.AppendUint64(b, r.next())
	}
	return b[:n]
}
