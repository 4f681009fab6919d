package delta

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

func randomCommitState(rnd *rand.Rand) *sink.CommitState {
	l := &sink.CommitState{}
	for range rnd.IntN(20) {
		start := block.Number(rnd.Uint64N(1 << 40))
		l.Coverage.Add(block.Range{Start: start, End: start + 1 + block.Number(rnd.IntN(1000))})
	}
	if rnd.IntN(2) == 0 {
		l.Coverage.Add(block.Range{Start: block.Max, End: block.Max + 1})
		l.Live = sink.LiveState{Started: true, Epoch: rnd.Uint64(), Seq: rnd.Uint64(), Start: block.Number(rnd.Uint64N(1 << 63)),
			Cursor: block.Cursor{Network: strings.Repeat("ä", rnd.IntN(9)), Number: 7, Hash: block.Hash{1, 2, 31: 255}}}
	}
	for range rnd.IntN(4) {
		if l.Partial == nil {
			l.Partial = map[block.Number]sink.Partial{}
		}
		p := sink.Partial{Batch: strings.Repeat("b", rnd.IntN(40)), Parts: 1 + rnd.IntN(9)}
		for i := range p.Parts {
			if rnd.IntN(2) == 0 {
				p.Have = append(p.Have, i)
			}
		}
		l.Partial[block.Number(rnd.Uint64N(1<<40))] = p
	}
	return l
}

// TestTheCommitStateIsReadBack writes states over each other, longer and shorter ones,
// as commits do, and reads them back.
func TestTheCommitStateIsReadBack(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	store := storagetest.Memory()
	defer func() { _ = store.Close() }()
	log, reader := deltalog.New(store), deltalog.New(store)
	empty, err := log.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := log.Commit(t.Context(), empty, []deltalog.Action{{Protocol: &deltalog.Protocol{}}, {MetaData: &deltalog.MetaData{}}})
	if err != nil {
		t.Fatal(err)
	}
	const app = "ampipe:p:s"
	for i := range 500 {
		want := randomCommitState(rnd)
		if _, err := log.Commit(t.Context(), s, commitStateActions(s, app, want, 1)); err != nil {
			t.Fatal(err)
		}
		if s, err = reader.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, begun, err := readCommitState(s, app)
		if err != nil || !begun {
			t.Fatalf("%+v: %v, %v", want, begun, err)
		}
		if !got.Coverage.Equal(want.Coverage) || got.Live != want.Live || len(got.Partial) != len(want.Partial) ||
			len(want.Partial) > 0 && !reflect.DeepEqual(got.Partial, want.Partial) {
			t.Fatalf("%+v is read back as %+v", want, got)
		}
		if s.Txns[app].Version != int64(i+1) {
			t.Errorf("the count of commits is %d after %d", s.Txns[app].Version, i+1)
		}
	}
	if n := len(commitStateActions(s, app, mustCommitState(t, s, app), 1)); n != 1 {
		t.Errorf("a state that has not changed is %d actions", n)
	}
}

func mustCommitState(t *testing.T, s *deltalog.Snapshot, app string) *sink.CommitState {
	t.Helper()
	l, _, err := readCommitState(s, app)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestADamagedCommitStateIsNoticed changes and drops single words.
func TestADamagedCommitStateIsNoticed(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		stateWords := encodeCommitState(randomCommitState(rnd))
		for i := range stateWords {
			broken := slices.Clone(stateWords)
			broken[i]++
			if _, err := decodeCommitState(broken); fault.Of(err) != fault.ClassPermanent || err == nil {
				t.Fatalf("word %d of %d changed: %v", i, len(stateWords), err)
			}
			if _, err := decodeCommitState(stateWords[:i]); fault.Of(err) != fault.ClassPermanent || err == nil {
				t.Fatalf("only %d of %d words: %v", i, len(stateWords), err)
			}
		}
	}
}
