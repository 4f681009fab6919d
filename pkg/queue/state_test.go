package queue_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

func mustState(t testing.TB, c *queue.Conn, pipeline string) *queue.State {
	t.Helper()
	s, err := c.State(testContext(t), pipeline)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStateComparesAndSets(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	s := mustState(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	if _, _, err := queue.Get[int](ctx, s, "a.b"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a missing key gives %v", err)
	}
	rev, err := s.Create(ctx, "a.b", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, "a.b", 2); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("creating twice gives %v", err)
	}
	next, err := s.Update(ctx, "a.b", 3, rev)
	if err != nil || next <= rev {
		t.Fatalf("revision %d after %d (%v)", next, rev, err)
	}
	if _, err := s.Update(ctx, "a.b", 4, rev); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("an old revision gives %v", err)
	}
	if value, got, err := queue.Get[int](ctx, s, "a.b"); value != 3 || got != next || err != nil {
		t.Errorf("read %d at %d (%v)", value, got, err)
	}
	for range 2 {
		deleteDocument(t, server, "pipe.a.b")
	}
	if _, _, err := queue.Get[int](ctx, s, "a.b"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a deleted key gives %v", err)
	}
	if _, err := s.Create(ctx, "a.b", 5); err != nil {
		t.Errorf("a deleted key cannot be created: %v", err)
	}
}

func TestStateRefusesWhatItCannotHold(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := mustState(t, mustConn(t), "pipe")
	_, err := s.Put(ctx, "big", strings.Repeat("x", 9<<20))
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("a document over the limit gives %.200v", err)
	}
	if _, err := s.Put(ctx, "a..b", 1); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("a bad key gives %v", err)
	}
	if _, err := s.Put(ctx, "text", "hello"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := queue.Get[int](ctx, s, "text"); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("a document of another type gives %v", err)
	}
}

func TestSpecIsWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	s := mustState(t, conn, "pipe")
	if _, _, err := s.LoadSpec(ctx); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("%v", err)
	}
	type waited struct {
		spec state.Spec
		rev  uint64
		err  error
	}
	out := make(chan waited)
	go func() {
		spec, rev, err := s.WaitSpec(ctx)
		out <- waited{spec, rev, err}
	}()
	want := state.Spec{
		Epoch: 1, Query: "SELECT 1", BlockColumn: "block_num", Schema: []byte{1, 2, 3}, Network: "mainnet",
		History: block.Range{Start: 5, End: 100}, Live: &state.Origin{Start: 100, Points: []block.Cursor{{Network: "mainnet", Number: 99, Hash: block.Hash{1}}}}, Planned: time.Now().UTC().Truncate(time.Second),
	}
	if _, err := mustState(t, conn, "other").SaveSpec(ctx, state.Spec{Query: "other"}, 0); err != nil {
		t.Fatal(err)
	}
	rev, err := s.SaveSpec(ctx, want, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-out; got.err != nil || got.rev != rev || !reflect.DeepEqual(got.spec, want) {
		t.Errorf("waited for %+v", got)
	}
	if _, err := s.SaveSpec(ctx, want, 0); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("planned twice: %v", err)
	}
	want.Epoch = 2
	if _, err := s.SaveSpec(ctx, want, rev); err != nil {
		t.Error(err)
	}
	if got, _, err := s.LoadSpec(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v (%v)", got, err)
	}
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	s, other := mustState(t, conn, "pipe"), mustState(t, conn, "pipe2")
	want := []state.Partition{
		{Start: 300, End: 400, State: state.PartitionOpen},
		{Start: 5, End: 10, State: state.PartitionOpen},
		{Start: 40, End: 1000, State: state.PartitionFailed, Attempts: 3, Error: "no"},
		{Start: 5, Generation: 1, End: 10, State: state.PartitionDone},
	}
	for _, p := range want {
		if _, err := s.CreatePartition(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.CreatePartition(ctx, state.Partition{Start: 5}); err != nil {
		t.Errorf("pipelines share partitions: %v", err)
	}
	if _, err := s.CreatePartition(ctx, want[0]); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("%v", err)
	}
	all, err := s.Partitions(ctx)
	if err != nil || len(all) != len(want) {
		t.Fatalf("%d partitions (%v)", len(all), err)
	}
	for i, p := range all {
		if p.Value != want[i] || p.Key != "partition."+want[i].ID() {
			t.Errorf("partition %d is %+v", i, p)
		}
	}
	// Two split at the same time: one wins.
	p, rev, err := s.Partition(ctx, "40.0")
	if err != nil {
		t.Fatal(err)
	}
	p.End = 500
	if _, err := s.UpdatePartition(ctx, p, rev); err != nil {
		t.Error(err)
	}
	p.End = 600
	if _, err := s.UpdatePartition(ctx, p, rev); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("%v", err)
	}
	if p, _, _ := s.Partition(ctx, "40.0"); p.End != 500 {
		t.Errorf("ends at %d", p.End)
	}
	if all, err := s.Partitions(ctx); err != nil || all[len(all)-1].Value.ID() != "40.0" {
		t.Errorf("what was written last is not the last of %+v (%v)", all, err)
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := mustState(t, mustConn(t), "pipe")
	if _, _, err := s.Report(ctx, "warehouse"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, rows := range []uint64{1, 7} {
		r := state.SinkReport{Name: "warehouse", Rows: rows, State: "running", Coverage: block.NewSet(block.Range{End: 9})}
		if err := s.PutReport(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	report, _, err := s.Report(ctx, "warehouse")
	if err != nil || report.Rows != 7 || !report.Coverage.Has(8) {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestWatch: neither the documents of other keys are seen nor that one was deleted.
func TestWatch(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	s := mustState(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	put := func(key string, value int) {
		if _, err := s.Put(ctx, key, value); err != nil {
			t.Error(err)
		}
	}
	put("a", 1)
	put("ab", 9)
	var seen []int
	enough := errors.New("enough")
	err := queue.Watch(ctx, s, "a", func(value int, rev uint64) error {
		seen = append(seen, value)
		if got, at, err := queue.Get[int](ctx, s, "a"); got != value || at != rev || err != nil {
			t.Errorf("%d at %d, read %d at %d (%v)", value, rev, got, at, err)
		}
		switch len(seen) {
		case 1:
			put("a.x", 9)
			put("a", 2)
		case 2:
			deleteDocument(t, server, "pipe.a")
			put("a", 3)
		case 3:
			return enough
		}
		return nil
	})
	if want := []int{1, 2, 3}; !errors.Is(err, enough) || !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v (%v)", seen, want, err)
	}
	_, err = s.Put(ctx, "a", "of another version")
	must(t, err)
	err = queue.Watch(ctx, s, "a", func(int, uint64) error { return nil })
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "another version of ampipe") {
		t.Errorf("a document of another type: %v", err)
	}
	stop := errors.New("told to stop")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(stop)
	if err := queue.Watch(ended, s, "zzz", func(int, uint64) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// deleteDocument does what an operator may do.
func deleteDocument(t *testing.T, server *queue.Server, key string) {
	t.Helper()
	kv, err := mustJetStream(t, server.URL()).KeyValue(testContext(t), "AMPIPE_STATE")
	must(t, err)
	must(t, kv.Delete(testContext(t), key))
}

// TestAWatchOutlivesTheState: what is written into a state that was deleted and made again is
// seen, though its revisions begin anew.
func TestAWatchOutlivesTheState(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	ctx := testContext(t)
	other := mustState(t, mustOpen(t, queue.Config{URL: server.URL()}), "test")
	for range 20 {
		_, err := other.Put(ctx, "zzz", 1)
		must(t, err)
	}
	s := mustState(t, mustOpen(t, queue.Config{Server: server}), "test")
	began := make(chan struct{})
	var watches sync.WaitGroup
	watches.Go(func() {
		_ = fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) error { // it ends with what it has seen
			return queue.Watch(ctx, s, "zzz", func(value int, _ uint64) error {
				if value == 1 {
					close(began)
					return nil
				}
				return fault.Permanent(errors.New("seen"))
			})
		}, nil)
	})
	all := make(chan queue.Change, 100)
	watches.Go(func() {
		watching, stop := context.WithCancel(ctx)
		defer stop()
		for watching.Err() == nil {
			_ = s.WatchAll(watching, func() {}, func(change queue.Change) { // a watch that ends is begun again
				all <- change
				stop()
			})
		}
	})
	<-began
	must(t, mustJetStream(t, server.URL()).DeleteKeyValue(ctx, "AMPIPE_STATE"))
	if _, _, err := queue.Get[int](ctx, other, "zzz"); !errors.Is(err, queue.ErrNotFound) {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		watches.Wait()
		close(done)
	}()
	for seen := false; !seen; {
		_, err := other.Put(ctx, "zzz", 2)
		must(t, err)
		select {
		case <-done:
			seen = true
		case <-time.After(3 * time.Second): // so that it has fewer than 20 when a watch should have seen it
		case <-ctx.Done():
			t.Fatal("a watch does not see what is written")
		}
	}
	if change := <-all; change.Key != "zzz" || change.Rev > 15 {
		t.Errorf("it has seen %+v", change)
	}
}

// TestTheStateIsDeleted: the documents are gone, and new ones can be written.
func TestTheStateIsDeleted(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	c := mustOpen(t, queue.Config{Server: server})
	s := mustState(t, c, "test")
	ctx := testContext(t)
	if _, err := s.SaveSpec(ctx, state.Spec{Epoch: 7}, 0); err != nil {
		t.Fatal(err)
	}
	must(t, mustJetStream(t, server.URL()).DeleteKeyValue(ctx, "AMPIPE_STATE"))
	if _, _, err := s.LoadSpec(ctx); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("read: %v, want ErrNotFound", err)
	}
	_, err := s.SaveSpec(ctx, state.Spec{Epoch: 8}, 0)
	must(t, err)
	spec, _, err := s.LoadSpec(ctx)
	must(t, err)
	if spec.Epoch != 8 {
		t.Errorf("plan %+v", spec)
	}
}
