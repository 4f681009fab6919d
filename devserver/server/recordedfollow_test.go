package server_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"google.golang.org/grpc/codes"
	grpcmeta "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// action is what was done to the chain while streams of it were recorded: its
// depth if it was a reorg, and the head that came of it.
type action struct {
	depth uint64
	head  block.Number
}

// actions reads a list of actions.
func actions(t *testing.T, file string) []action {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list [][]any
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var out []action
	for _, entry := range list {
		result := entry[len(entry)-1].(map[string]any)
		a := action{head: block.Number(result["head"].(float64))}
		if entry[0] == "reorg" {
			a.depth = uint64(entry[1].(float64))
		}
		out = append(out, a)
	}
	return out
}

// do does an action to a chain. The recorded range that came of it tells where a
// reorg began: a node that mines blocks anew may get some that are the same.
func (a action) do(t *testing.T, s live, came amp.Range) {
	t.Helper()
	head := s.chain.View().Range().Last()
	if a.depth == 0 {
		s.chain.Grow(uint64(a.head - head))
		return
	}
	depth := uint64(head + 1 - came.Numbers.Start)
	if depth > a.depth {
		t.Fatalf("a reorg of %d blocks was recorded as one of %d", a.depth, depth)
	}
	s.fork(t, depth, uint64(a.head-head))
}

// recordings returns those whose name, folder/name, matches a pattern.
func recordings(t *testing.T, pattern string) []amptest.Recording {
	t.Helper()
	matching := slices.DeleteFunc(amptest.Recordings(t), func(r amptest.Recording) bool {
		matches, err := path.Match(pattern, r.Name)
		return err != nil || !matches
	})
	if len(matching) == 0 {
		t.Fatalf("no recordings %s", pattern)
	}
	return matching
}

// ranges returns the completed ranges of a recorded stream, and holds the stream
// to what the protocol says of every microbatch.
func ranges(t *testing.T, r amptest.Recording) []amp.Range {
	t.Helper()
	var out []amp.Range
	for i, m := range r.Messages {
		if m.Metadata == "" {
			if i > 0 {
				t.Errorf("message %d has no metadata", i)
			}
			continue
		}
		parsed, err := amp.ParseMetadata([]byte(m.Metadata))
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Complete {
			out = append(out, parsed.Ranges...)
		}
	}
	return out
}

// TestRecordedStreams does to a made-up chain what was done to a real one while
// its streams were recorded: the microbatches must be of the same blocks.
func TestRecordedStreams(t *testing.T) {
	lists, err := filepath.Glob(filepath.Join(realData(t), "recorded", "*", "actions.json"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, list := range lists {
		done := actions(t, list)
		for _, r := range recordings(t, filepath.Base(filepath.Dir(list))+"/follow-*") {
			compared++
			t.Run(r.Name, func(t *testing.T) { compareStream(t, done, r) })
		}
	}
	if compared == 0 {
		t.Fatal("no stream was recorded")
	}
}

func compareStream(t *testing.T, done []action, r amptest.Recording) {
	want := ranges(t, r)
	s := liveServer(t, uint64(want[0].Numbers.End), func(*server.Options) {})
	query, perBlock := blocks, 1
	if !strings.HasSuffix(r.SQL, ".blocks") {
		query, perBlock = logs, 10
	}
	f := s.follow(t, query, "")
	s.expect(t, f, want[0].Numbers.Start, want[0].Numbers.Last())
	want = want[1:]
	for i, a := range done {
		if len(want) == 0 {
			t.Fatalf("nothing was recorded of action %d", i)
		}
		a.do(t, s, want[0])
		// A real server may see the blocks of one action bit by bit.
		var whole block.Range
		for len(want) > 0 && (whole.Empty() || (whole.Last() < a.head && want[0].Numbers.Start == whole.End)) {
			if whole.Empty() {
				whole.Start = want[0].Numbers.Start
			}
			whole.End = want[0].Numbers.End
			want = want[1:]
		}
		m := s.expect(t, f, whole.Start, whole.Last())
		if got := len(m.numbers()); got != int(whole.Len())*perBlock {
			t.Errorf("action %d: %v has %d rows", i, m, got)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d more ranges were recorded", len(want))
	}
}

// TestRecordedResumes asks with every recorded cursor, on a chain of the same
// history: its own hashes take the place of the recorded ones.
func TestRecordedResumes(t *testing.T) {
	dir := realData(t)
	table := regexp.MustCompile(`(?i)^(SELECT \* FROM )(\w+\.\w+)$`)
	compared := 0
	for _, r := range recordings(t, "answers/*") { // of the chain of follow
		if !r.Stream() {
			continue
		}
		parts := table.FindStringSubmatch(r.SQL)
		refused := r.End.Code != "" && r.End.Code != "OK"
		switch {
		case r.End.Code == "OK":
			compared++
			t.Run(r.Name, func(t *testing.T) {
				compareEnding(t, start(t, server.Options{Catalog: recordedCatalog(t, wholeTables(t), r)}), r)
			})
			continue
		case parts == nil && !refused:
			t.Logf("left out: %s: %s is not offered", r.Name, r.SQL)
			continue
		}
		query := logs
		if parts == nil {
			query = regexp.MustCompile(`(?i)(FROM )\w+\.`).ReplaceAllString(r.SQL, "${1}ds.")
		}
		compared++
		t.Run(r.Name, func(t *testing.T) { compareResume(t, dir, query, r) })
	}
	if compared == 0 {
		t.Log("no cursor was recorded: none was tested")
	}
}

// compareEnding holds a stream that has nothing to follow against the recorded
// one, message by message.
func compareEnding(t *testing.T, s *client, r amptest.Recording) {
	got, err := s.ask(grpcmeta.AppendToOutgoingContext(t.Context(), "amp-stream", "true"), r.SQL)
	if err != nil || len(got.data) != len(r.Data) {
		t.Fatalf("%d messages and %v, recorded %d", len(got.data), err, len(r.Data))
	}
	for i, m := range got.data {
		if string(m.AppMetadata) != string(r.Data[i].AppMetadata) {
			t.Errorf("message %d says %s, recorded %s", i, m.AppMetadata, r.Data[i].AppMetadata)
		}
	}
}

func compareResume(t *testing.T, dir, query string, r amptest.Recording) {
	s, known := replay(t, filepath.Join(dir, "recorded", "follow"))
	want := ranges(t, r)
	if len(want) > 0 { // the real chain had grown since
		if head := s.chain.View().Range().Last(); want[0].Numbers.Last() > head {
			s.chain.Grow(uint64(want[0].Numbers.Last() - head))
		}
	}
	resume := amptest.Query{Header: r.Header}.Resume()
	for theirs, ours := range known {
		resume = strings.ReplaceAll(resume, theirs.String(), ours.String())
	}
	f := s.follow(t, query, resume)
	if r.End.Code != "" {
		_, err := f.next(t)
		code := map[string]codes.Code{"Internal": codes.Internal, "InvalidArgument": codes.InvalidArgument}[r.End.Code]
		if got := status.Convert(err); got.Code() != code || got.Message() != r.End.Message {
			t.Errorf("ends with %v\nrecorded: %s %s", err, r.End.Code, r.End.Message)
		}
		return
	}
	if len(want) == 0 { // silence: nothing comes but what the chain grows by
		var cursors map[string]struct{ Number block.Number }
		if err := json.Unmarshal([]byte(resume), &cursors); err != nil {
			t.Fatal(err)
		}
		head := s.chain.View().Range().Last()
		first := head + 1
		if at := cursors["anvil"].Number; at > head {
			first = at
		}
		s.chain.Grow(uint64(first - head))
		s.expect(t, f, first, first)
		return
	}
	for _, w := range want {
		s.expect(t, f, w.Numbers.Start, w.Numbers.Last())
	}
}

// replay returns a server of a chain with the history of a folder, and the hashes
// of its microbatches by those recorded.
func replay(t *testing.T, folder string) (live, map[block.Hash]block.Hash) {
	t.Helper()
	done := actions(t, filepath.Join(folder, "actions.json"))
	all := recordings(t, filepath.Base(folder)+"/follow-*")
	want := ranges(t, all[0])
	s := liveServer(t, uint64(want[0].Numbers.End), func(*server.Options) {})
	known := map[block.Hash]block.Hash{}
	learn := func() {
		now := s.chain.View()
		for len(want) > 0 && want[0].Numbers.Last() <= now.Range().Last() {
			known[want[0].Hash] = now.Header(want[0].Numbers.Last()).Hash
			want = want[1:]
			if len(want) > 0 && want[0].Numbers.Start <= now.Range().Last() {
				break // a reorg, and another action
			}
		}
	}
	learn()
	for _, a := range done {
		if len(want) > 0 {
			a.do(t, s, want[0])
		}
		learn()
	}
	return s, known
}
