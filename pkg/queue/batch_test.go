package queue_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestManyAtATime: partitions and tasks are written together, also where some are there
// already, and where the planner of an earlier version, which knows no batches, has brought
// the streams to its own configuration.
func TestManyAtATime(t *testing.T) {
	t.Parallel()
	for _, earlier := range []bool{false, true} {
		t.Run(fmt.Sprint("earlier ", earlier), func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
			conn := mustOpen(t, queue.Config{URL: server.URL()})
			s := mustState(t, conn, "pipe")
			tasks, err := conn.Tasks(ctx, "pipe")
			must(t, err)
			if earlier {
				js := mustJetStream(t, server.URL())
				for _, name := range []string{"KV_AMPIPE_STATE", "AMPIPE_TASKS"} {
					stream, err := js.Stream(ctx, name)
					must(t, err)
					config := stream.CachedInfo().Config
					config.AllowAtomicPublish = false
					_, err = js.UpdateStream(ctx, config)
					must(t, err)
				}
			}
			const n = 1200 // several batches
			parts, ids := make([]state.Partition, n), make([]string, n)
			for i := range parts {
				parts[i] = state.Partition{Start: block.Number(i), End: block.Number(i + 1), State: state.PartitionDone}
				ids[i] = parts[i].ID()
			}
			_, err = s.CreatePartition(ctx, parts[700])
			must(t, err)
			revs, err := s.CreatePartitions(ctx, parts)
			must(t, err)
			stored, err := s.Partitions(ctx)
			must(t, err)
			if len(revs) != n || len(stored) != n || revs[700] != 0 {
				t.Fatalf("%d revisions, %d partitions, of the one that was there %d", len(revs), len(stored), revs[700])
			}
			slices.SortFunc(stored, func(a, b queue.Stored[state.Partition]) int { return int(a.Value.Start) - int(b.Value.Start) })
			for i, p := range stored {
				if p.Value != parts[i] || (i != 700 && p.Rev != revs[i]) {
					t.Fatalf("stored is %+v, written %+v at %d", p, parts[i], revs[i])
				}
			}

			whole := parts[0]
			whole.End = n
			if _, err := s.ReplacePartitions(ctx, whole, stored[0].Rev+1, stored[1:]); !errors.Is(err, queue.ErrConflict) {
				t.Fatalf("a record that was changed: %v", err)
			}
			must(t, second(s.UpdatePartition(ctx, parts[5], stored[5].Rev)))
			replaced, err := s.ReplacePartitions(ctx, whole, stored[0].Rev, stored[1:])
			must(t, err)
			if len(replaced) != n || replaced[5] != 0 || slices.Index(replaced, 0) != 5 {
				t.Errorf("replaced are %v", replaced)
			}
			left, err := s.Partitions(ctx)
			must(t, err)
			if len(left) != 2 || left[0].Value != parts[5] || left[1].Value != whole || left[1].Rev != replaced[0] {
				t.Errorf("left are %+v", left)
			}
			if _, _, err := s.Partition(ctx, "1.0"); !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("one that was removed: %v", err)
			}
			must(t, second(s.CreatePartitions(ctx, parts[1:2])))
			must(t, second(s.CreatePartition(ctx, parts[2])))

			must(t, second(tasks.Add(ctx, queue.PartitionTask, ids[30])))
			places, err := tasks.AddAll(ctx, queue.PartitionTask, ids)
			must(t, err)
			if known := places[600] > 0; len(places) != n || places[30] != 0 || known == earlier {
				t.Errorf("the places of %d tasks are known: %v", len(places), known)
			}
			load, err := tasks.Load(ctx, queue.PartitionTask)
			must(t, err)
			if load.Queued != n {
				t.Errorf("%d tasks are queued, want %d", load.Queued, n)
			}
			for _, want := range []string{ids[30], ids[0], ids[1]} {
				task, err := tasks.Next(ctx, queue.PartitionTask)
				must(t, err)
				if task.ID != want {
					t.Errorf("the next task is %s, want %s", task.ID, want)
				}
			}
			delivered, err := tasks.Delivered(ctx, queue.PartitionTask)
			must(t, err)
			if delivered == 0 || (!earlier && delivered >= places[600]) {
				t.Errorf("delivered is what is up to %d, and a task that is not is at %d", delivered, places[600])
			}
		})
	}
}

// TestRemovedDocumentsLeaveNothing: what marks that one is gone is gone itself after a time.
func TestRemovedDocumentsLeaveNothing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	s := mustState(t, mustOpen(t, queue.Config{URL: server.URL()}), "pipe")
	rev, err := s.Put(ctx, "partition.0.0", 1)
	must(t, err)
	rev, err = s.Remove(ctx, "partition.0.0", rev)
	must(t, err)
	stream, err := mustJetStream(t, server.URL()).Stream(ctx, "KV_AMPIPE_STATE")
	must(t, err)
	mark, err := stream.GetMsg(ctx, rev)
	must(t, err)
	if ttl := mark.Header.Get(jetstream.MsgTTLHeader); ttl != "1m0s" || len(mark.Data) > 0 {
		t.Errorf("the mark has %q and stays for %q", mark.Data, ttl)
	}
}

// TestAStateThatRemovesNothing is one whose stream was made by an earlier version, and which
// this process may not change.
func TestAStateThatRemovesNothing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	js := mustJetStream(t, server.URL())
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "KV_AMPIPE_STATE", Subjects: []string{"$KV.AMPIPE_STATE.>"}, MaxMsgsPerSubject: 1, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, MaxBytes: 256 << 20, DenyDelete: true, AllowDirect: true,
	})
	must(t, err)
	conn := mustOpen(t, queue.Config{URL: server.URL()})
	if s := mustState(t, conn.Looking(), "pipe"); s.Removes() {
		t.Error("a process that only looks changed the stream")
	}
	if s := mustState(t, conn, "pipe"); !s.Removes() {
		t.Error("the planner did not bring the stream to its configuration")
	}
}

func second[T any](_ T, err error) error { return err }
