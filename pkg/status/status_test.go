package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// process is one that runs, of a role with its stages.
func process(role string, stages ...string) state.Process {
	return state.Process{
		Role: role, Host: "node-1", PID: 77, Version: "v1.2.3", Stages: stages,
		Started: ago(time.Hour), Beat: ago(2 * time.Second),
	}
}

// live is a pipeline whose two sinks have everything and follow the chain.
func live() status.Facts {
	run := process("run", "planner", "extractor", "sink lake", "sink warehouse")
	run.Sinks = []state.ProcessSink{{Name: "lake", Latency: 0.4}, {Name: "warehouse", Latency: 0.1}}
	f := status.Facts{
		Name: "eth-logs", Now: now,
		Spec: &state.Spec{
			Epoch: 7, History: block.Range{Start: 0, End: 1000}, Live: &state.Origin{Start: 1000}, Sinks: []string{"lake", "warehouse"},
		},
		Parts: []state.Partition{
			{Start: 0, End: 500, State: state.PartitionDone, Rows: 100}, {Start: 500, End: 1000, State: state.PartitionDone, Rows: 50},
		},
		Position:  state.LivePosition{Epoch: 7, Seq: 20, Next: 1010, Phase: state.LiveRunning},
		Tail:      queue.Tail{Found: true, Seq: 20, Entry: entry.Header{Kind: entry.Watermark, Epoch: 7, Range: block.Closed(1009, 1009)}},
		Log:       queue.LogState{First: 1, Last: 20, Messages: 20, Bytes: 1 << 20, MaxBytes: 1 << 30, Oldest: ago(time.Hour)},
		Processes: []state.Process{run},
	}
	for _, name := range f.Spec.Sinks {
		f.Sinks = append(f.Sinks, status.SinkFacts{
			Name: name, Reported: ago(3 * time.Second),
			History: queue.Position{Exists: true, AckFloor: 20}, Live: queue.Position{Exists: true, AckFloor: 20},
			Report: state.SinkReport{
				Name: name, State: state.SinkRunning, Updated: ago(3 * time.Second), Read: ago(3 * time.Second),
				Coverage: block.NewSet(block.Range{Start: 0, End: 1010}),
				Live:     state.LiveState{Started: true, Epoch: 7, Seq: 20, Start: 1000, Cursor: block.Cursor{Network: "eth", Number: 1009}},
			},
		})
	}
	return f
}

// finite is the same up to block 1,000, and done.
func finite() status.Facts {
	f := live()
	end := block.Number(1000)
	f.Spec.MaxBlock, f.Spec.Live = &end, nil
	f.Position, f.Tail = state.LivePosition{}, queue.Tail{}
	for i := range f.Sinks {
		f.Sinks[i].Report.Live, f.Sinks[i].Live = state.LiveState{}, queue.Position{}
		f.Sinks[i].Report.Coverage = block.NewSet(f.Spec.History)
		f.Sinks[i].Report.State = state.SinkStopped
	}
	f.Processes[0].Ended, f.Processes[0].Done, f.Processes[0].Beat = ago(time.Hour), true, ago(time.Hour)
	return f
}

// split is live with a process for each stage, of which the extractor runs twice.
func split() status.Facts {
	f := live()
	f.Processes = []state.Process{
		process("extractor", "extractor"), process("extractor", "extractor"), process("planner", "planner"),
		process("sink-lake", "sink lake"), process("sink-warehouse", "sink warehouse"),
	}
	f.Processes[1].Slot, f.Processes[1].Host = 1, "node-2"
	return f
}

// TestSentences asks the two questions of a person who has never seen it: is everything
// loaded and live, and why is it not?
func TestSentences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		facts  status.Facts
		mend   func(f *status.Facts) // makes it what it is
		alone  bool
		full   string // [status.Options.FullDisk]
		level  status.Level
		says   string
		next   string // begins with
		beside string // another trouble or note
	}{
		"live":     {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind"},
		"complete": {facts: finite(), level: status.Healthy, says: "complete: everything is loaded, blocks 0 to 999"},
		"never": {facts: status.Facts{Name: "p", Now: now}, level: status.Failed, says: "nothing was started yet",
			next: "start the planner"},
		"replayed": {facts: live(), level: status.Healthy, says: "loading: 90 % of 1,000 blocks are in every destination",
			beside: "a replay of 250 blocks of lake reads the log; 100 to load", mend: func(f *status.Facts) {
				f.Sinks[0].Report.Coverage.Remove(block.Range{Start: 300, End: 400})
				f.Sinks[0].Replay = state.Replay{Step: state.ReplayReads, Worker: "w", Blocks: block.NewSet(block.Range{Start: 200, End: 450})}
			}},
		"replayed from Amp": {facts: live(), level: status.Healthy, says: "loading: 99 % of 1,000 blocks are in every destination", beside: "a replay of 250 blocks of lake reads them from Amp; 1 to load",
			mend: func(f *status.Facts) {
				f.Sinks[0].Report.Coverage.Remove(block.Closed(300, 300))
				f.Sinks[0].Replay = state.Replay{Step: state.ReplayDone, Worker: "w", Blocks: block.NewSet(block.Range{Start: 200, End: 450})}
			}},
		"was replayed": {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind", mend: func(f *status.Facts) {
			f.Sinks[0].Replay = state.Replay{Step: state.ReplayDone, Worker: "w", Blocks: block.NewSet(block.Range{Start: 200, End: 450}, block.Closed(5000, 5000))}
		}},
		"is to be replayed": {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind",
			beside: "a replay of 1 block of lake begins within seconds", mend: func(f *status.Facts) {
				f.Sinks[0].Replay = state.Replay{Step: state.ReplayRemoves, Blocks: block.NewSet(block.Closed(7, 7))}
			}},
		"is to be replayed when it is started": {facts: finite(), level: status.Degraded, next: "start ampipe run again",
			says: "a replay of 1 block of lake waits, and no process runs the sink", mend: func(f *status.Facts) {
				f.Sinks[0].Replay = state.Replay{Step: state.ReplayRemoves, Worker: "w", Blocks: block.NewSet(block.Closed(7, 7))}
			}},
		"was not replayed": {facts: live(), level: status.Degraded, says: "the replay of lake has failed: the index was dropped",
			next: "mend the cause, then ask again: ampipe replay lake …", mend: func(f *status.Facts) {
				f.Sinks[0].Replay = state.Replay{Step: state.ReplayFailed, Error: "the index was dropped", Blocks: block.NewSet(block.Closed(7, 7))}
			}},
		"the state was deleted": {facts: status.Facts{Name: "p", Now: now, Gone: []status.Gone{status.GoneState}}, level: status.Degraded,
			says: "the state of the pipeline is gone: somebody has deleted it in NATS", next: "the planner makes it anew"},
		"the log was deleted": {facts: live(), level: status.Degraded, says: "the log of the pipeline is gone: somebody has deleted it in NATS",
			next: "the planner makes it anew", mend: func(f *status.Facts) { f.Gone = []status.Gone{status.GoneLog} }},
		"its indexes are built": {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind",
			beside: "lake: building index logs_address_idx, 40 %", mend: func(f *status.Facts) {
				f.Sinks[0].Report.Indexing = &state.Indexing{Progress: "building index logs_address_idx, 40 %"}
			}},
		"its indexes are not there yet": {facts: finite(), level: status.Healthy, says: "loaded; indexes are being built",
			mend: func(f *status.Facts) {
				f.Processes[0].Ended, f.Processes[0].Done, f.Processes[0].Beat = time.Time{}, false, ago(2*time.Second)
				for i := range f.Sinks {
					f.Sinks[i].Report.State = state.SinkRunning
				}
				f.Sinks[0].Report.Indexing = &state.Indexing{Progress: "indexes are built when the history is loaded"}
			}},
		"its indexes cannot be built": {facts: live(), level: status.Degraded, says: "indexes of lake could not be built: the disk is full",
			next: "it is tried again", mend: func(f *status.Facts) {
				f.Sinks[0].Report.Indexing = &state.Indexing{Progress: "indexes are tried again", Error: "the disk is full"}
			}},
		"planning": {facts: status.Facts{Name: "p", Now: now, Processes: []state.Process{process("run", "planner", "extractor")}},
			level: status.Healthy, says: "starting: it is not planned yet"},
		"loading": {facts: live(), level: status.Healthy, says: "loading: 41 % of 1,000 blocks are in every destination, 53 m left",
			mend: func(f *status.Facts) {
				f.Sinks[0].Report.Coverage = block.NewSet(block.Range{Start: 0, End: 410}, block.Range{Start: 1000, End: 1010})
				f.Parts[1].State, f.Tasks, f.Processes[0].Left = state.PartitionOpen, queue.Load{Held: 1}, 53*60
			}},
		"all but one": {facts: live(), level: status.Healthy, says: "loading: 99 % of 1,000 blocks are in every destination",
			mend: func(f *status.Facts) { f.Sinks[0].Report.Coverage.Remove(block.Closed(7, 7)) }},
		"the lane begins": {facts: live(), level: status.Healthy, says: "loaded; start of the live lane waits: the chain has not reached block 1000",
			mend: func(f *status.Facts) {
				f.Position = state.LivePosition{}
				f.Sinks[0].Report.Live = state.LiveState{}
				f.Processes[0].Waits = []state.Wait{{Part: "start of the live lane", State: "expected", Reason: "the chain has not reached block 1000"}}
			}},
		"the disk is full": {facts: live(), full: "/data/nats", level: status.Failed, says: "the disk of folder /data/nats is full (and 1 more)",
			next: "make room there", mend: func(f *status.Facts) { f.Processes[0].Beat = ago(time.Minute) }},
		"a server of the cluster is away": {facts: live(), level: status.Degraded,
			says: "nats-2 cannot be reached by the other NATS servers: the log has 2 of 3 copies", next: "start it again",
			mend: func(f *status.Facts) { f.Log.Copies, f.Log.Away = 3, []string{"nats-2"} }},
		"stopped": {facts: live(), level: status.Failed, says: "warehouse is stopped: block 15,000,123, row 7, column name: too long",
			next: "mend the cause, then stop ampipe run", mend: func(f *status.Facts) {
				f.Sinks[1].Report.State, f.Sinks[1].Report.Reason = state.SinkFailed, "block 15,000,123, row 7, column name: too long"
			}},
		"stopped, and the process ended": {facts: live(), level: status.Failed, says: "warehouse is stopped: bad row (and 1 more)",
			next: "start ampipe run again, when the cause is mended", beside: "nothing runs: ampipe run on node-1 (process 77) has ended 40 s ago: bad row",
			mend: func(f *status.Facts) {
				f.Sinks[1].Report.State, f.Sinks[1].Report.Reason = state.SinkFailed, "bad row"
				f.Processes[0].Ended, f.Processes[0].Beat, f.Processes[0].Error = ago(40*time.Second), ago(40*time.Second), "bad row"
			}},
		"stopped before, started again": {facts: live(), level: status.Healthy, says: "starting: the sinks have not said yet how far they are",
			mend: func(f *status.Facts) {
				f.Sinks[1].Report.State, f.Processes[0].Started = state.SinkFailed, ago(time.Second)
				f.Sinks[0].Report.Updated = ago(time.Minute)
				f.Sinks[1].Report.Updated = ago(time.Minute)
			}},
		"stopped as it was opened": {facts: live(), level: status.Failed, says: "lake is stopped: another table", mend: func(f *status.Facts) {
			f.Processes[0].Waits = []state.Wait{{Part: "sink lake", State: "stopped", Reason: "another table"}}
		}},
		"paused": {facts: live(), level: status.Degraded, says: "lake is paused: the server cannot be reached", next: "it is tried again",
			mend: func(f *status.Facts) {
				f.Sinks[0].Report.State, f.Sinks[0].Report.Reason = state.SinkPaused, "the server cannot be reached"
				f.Processes[0].Waits = []state.Wait{{Part: "sink lake", State: "failing", Reason: "the server cannot be reached"}}
			}},
		"paused by a person": {facts: live(), level: status.Degraded, next: "ampipe resume lake",
			says: "lake is paused by ampipe pause since 2026-11-29 11:59:00 UTC; run ampipe resume lake", mend: func(f *status.Facts) {
				paused := state.Pause{Paused: true, Since: ago(time.Minute)}
				f.Sinks[0].Report.State, f.Sinks[0].Report.ByRequest, f.Sinks[0].Report.Reason = state.SinkPaused, true, paused.Reason("lake")
				f.Processes[0].Waits = []state.Wait{{Part: "sink lake", State: "expected", Reason: paused.Reason("lake")}}
			}},
		"paused by a person, and started again": {facts: live(), level: status.Degraded, says: "lake is paused: the server cannot be reached",
			next: "it is tried again", mend: func(f *status.Facts) {
				f.Sinks[0].Report.State, f.Sinks[0].Report.ByRequest, f.Sinks[0].Report.Updated = state.SinkPaused, true, ago(time.Minute)
				f.Processes[0].Started = ago(30 * time.Second)
				f.Sinks[1].Report.Updated = ago(time.Second)
				f.Processes[0].Waits = []state.Wait{{Part: "sink lake", State: "failing", Reason: "the server cannot be reached"}}
			}},
		"killed": {facts: live(), level: status.Failed, says: "nothing runs: ampipe run on node-1 (process 77) was lost 15 s ago, without a word",
			next: "start ampipe run again", mend: func(f *status.Facts) { f.Processes[0].Beat = ago(15 * time.Second) }},
		"killed just now, with its server": {facts: live(), alone: true, level: status.Failed, says: "nothing runs: ampipe run on node-1 (process 77) was lost 2.0 s ago, without a word"},
		"not yet lost":                     {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind", mend: func(f *status.Facts) { f.Processes[0].Beat = ago(14 * time.Second) }},
		"interrupted": {facts: live(), level: status.Failed, says: "nothing runs: ampipe run on node-1 (process 77) was stopped 3 h ago",
			mend: func(f *status.Facts) {
				f.Processes[0].Beat = ago(3 * time.Hour)
				f.Processes[0].Ended = ago(3 * time.Hour)
			}},
		"refused": {facts: live(), level: status.Failed, says: "nothing runs: ampipe run on node-1 (process 77) has ended 5.0 s ago: the query is refused",
			next: "start ampipe run again, when the cause is mended",
			mend: func(f *status.Facts) {
				f.Processes[0].Beat, f.Processes[0].Ended, f.Processes[0].Error = ago(5*time.Second), ago(5*time.Second), "the query is refused"
			}},
		"the chain fails": {facts: live(), level: status.Failed, says: "the chain cannot be followed: a fork", mend: func(f *status.Facts) {
			f.Position.Phase, f.Position.Error = state.LiveFailed, "a fork"
		}},
		"no planner": {facts: split(), level: status.Failed, says: "no planner runs: planner on node-1 (process 77) was lost 20 s ago, without a word",
			next: "start the planner again", mend: func(f *status.Facts) { f.Processes[2].Beat = ago(20 * time.Second) }},
		"no extractor": {facts: split(), level: status.Failed, says: "no extractor was started yet", next: "start the extractor",
			mend: func(f *status.Facts) { f.Processes = f.Processes[2:] }},
		"one of two extractors": {facts: split(), level: status.Degraded, says: "extractor on node-2 (process 77) was lost 16 s ago, without a word",
			next: "others do its work", mend: func(f *status.Facts) { f.Processes[1].Beat = ago(16 * time.Second) }},
		"one of two extractors, replaced": {facts: split(), level: status.Healthy, says: "live; everything loaded; 0.0 s behind",
			mend: func(f *status.Facts) {
				f.Processes[1].Beat, f.Processes[0].Started = ago(16*time.Second), ago(10*time.Second)
			}},
		"two extractors, of which one was replaced": {facts: split(), level: status.Degraded,
			says: "extractor on node-2 (process 77) was lost 17 s ago, without a word", mend: func(f *status.Facts) {
				f.Processes[0].Started, f.Processes[1].Beat = ago(10*time.Second), ago(17*time.Second)
				again := f.Processes[1]
				again.Host, again.Beat = "node-3", ago(16*time.Second)
				f.Processes = append([]state.Process{again}, f.Processes...)
			}},
		"one of two extractors, long ago": {facts: split(), level: status.Healthy, says: "live; everything loaded; 0.0 s behind",
			mend: func(f *status.Facts) { f.Processes[1].Beat = ago(11 * time.Minute) }},
		"no process of a sink": {facts: split(), level: status.Failed, says: "lake does not run: sink-lake on node-1 (process 77) was stopped 2 h ago",
			next: "start the process of sink lake again", mend: func(f *status.Facts) {
				f.Processes[3].Beat, f.Processes[3].Ended = ago(2*time.Hour), ago(2*time.Hour)
			}},
		"a sink that was never started": {facts: split(), level: status.Failed, says: "lake does not run: it was not started yet",
			mend: func(f *status.Facts) {
				f.Processes = append(f.Processes[:3:3], f.Processes[4])
				f.Sinks[0].Report, f.Sinks[0].Reported = state.SinkReport{}, time.Time{}
			}},
		"of an earlier version": {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.0 s behind", mend: func(f *status.Facts) { f.Processes = nil }},
		"of an earlier version, and silent": {facts: live(), level: status.Failed, says: "nothing runs: it was not started yet", mend: func(f *status.Facts) {
			f.Processes, f.Sinks[0].Reported, f.Sinks[1].Reported = nil, ago(time.Hour), ago(time.Hour)
		}},
		"failed blocks": {facts: finite(), level: status.Degraded, says: "11 blocks of 2 partitions could not be read", next: "`ampipe failed` shows why",
			mend: func(f *status.Facts) {
				f.Parts = append(f.Parts, state.Partition{Start: 5, End: 15, Generation: 1, State: state.PartitionFailed},
					state.Partition{Start: 99, End: 100, Generation: 1, State: state.PartitionFailed})
				f.Sinks[0].Report.Coverage.Remove(block.Range{Start: 5, End: 15})
				f.Sinks[0].Report.Coverage.Remove(block.Range{Start: 99, End: 100})
			}},
		"failed, and loaded since": {facts: finite(), level: status.Healthy, says: "complete: everything is loaded, blocks 0 to 999",
			mend: func(f *status.Facts) {
				f.Parts = append([]state.Partition{{Start: 0, End: 15, State: state.PartitionFailed}}, f.Parts...)
			}},
		"Amp is away": {facts: live(), level: status.Degraded, says: "live waits: is Amp running?", mend: func(f *status.Facts) {
			f.Processes[0].Waits = []state.Wait{{Part: "live", State: "failing", Reason: "is Amp running?", Since: ago(time.Minute)}}
		}},
		"the log is full, which is in order": {facts: live(), level: status.Healthy, says: "live; everything loaded; 0.4 s behind", beside: "log waits: it is full",
			mend: func(f *status.Facts) {
				f.Processes[0].Waits = []state.Wait{{Part: "log", State: "back-pressure", Reason: "it is full"}}
			}},
		"far behind": {facts: live(), level: status.Degraded, says: "lake is 95 s and 5 blocks behind", mend: func(f *status.Facts) {
			f.Sinks[0].Report.Live.Cursor.Number, f.Sinks[0].Oldest = 1004, ago(95*time.Second)
		}},
		"it hangs": {facts: live(), level: status.Failed, says: "planner hangs: no round", next: "restart ampipe run on node-1", mend: func(f *status.Facts) {
			f.Processes[0].Waits = []state.Wait{{Part: "planner", State: "hung", Reason: "no round"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.mend != nil {
				c.mend(&c.facts)
			}
			p := status.Build(c.facts, status.Options{Alone: c.alone, FullDisk: c.full})
			if p.Level != c.level || p.Sentence != c.says || !strings.HasPrefix(p.Next, c.next) {
				t.Errorf("%s: %s\nnext: %s\nwant %s: %s\nnext: %s…", p.Level, p.Sentence, p.Next, c.level, c.says, c.next)
			}
			judgedAlike(t, p)
			text := strings.Join(status.Summarize([]status.Pipeline{p}).Text(80), "\n")
			if !strings.Contains(strings.Join(strings.Fields(text), " "), c.beside) {
				t.Errorf("%q is not in\n%s", c.beside, text)
			}
			first := strings.Join(strings.Fields(text), " ")
			if !strings.HasPrefix(first, c.says) {
				t.Errorf("the first line is not the answer:\n%s", text)
			}
			for line := range strings.Lines(text) {
				if progress.Columns(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("a terminal has 80 columns: %s", line)
				}
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	f := live()
	rows := uint64(12)
	f.Position.Reorgs, f.Position.Recent = 3, []state.Reorg{{At: ago(4 * time.Minute), From: 1005, Blocks: 2, Rows: &rows}}
	f.Parts = append(f.Parts, state.Partition{Start: 40, End: 41, Generation: 1, State: state.PartitionFailed},
		state.Partition{Start: 50, End: 51, State: state.PartitionOpen}, state.Partition{Start: 60, End: 61, State: state.PartitionOpen},
		state.Partition{Start: 70, End: 71, State: state.PartitionOpen})
	f.Tasks = queue.Load{Queued: 1, Held: 1}
	f.Tail = queue.Tail{Found: true, Seq: 21, Entry: entry.Header{Kind: entry.Data, Epoch: 7, Range: block.Closed(1010, 1011)}}
	f.Sinks[0].Live.Pending, f.Sinks[0].Oldest = 6, ago(4*time.Second)
	f.Sinks[0].Report.Live.Cursor.Number = 1006
	f.Processes[0].Sinks[0].PerSec = 1234
	f.Processes[0].Host = "a-very-long-name-of-a-host.in-some-cluster.example.org"
	f.Processes[0].Version = "v0.0.0-20261130041234-b211d76a5f6e+dirty"
	got := strings.Join(status.Summarize([]status.Pipeline{status.Build(f, status.Options{})}).Text(80), "\n")
	want := strings.TrimPrefix(`
1 block of 1 partition could not be read
next: `+"`ampipe failed` shows why; `ampipe retry --all`"+` loads them again

eth-logs
  history    [0, 1000), 100 % loaded
  partitions 2 done, 1 running, 1 queued, 1 planned, 1 FAILED
  live       up to block 1,009 (1,011 is arriving)
  reorgs     3, the last 4 m ago: 2 blocks, 12 rows
  log        1 MiB of 1 GiB (0 %), oldest 60 m; lake lacks 6 entries
  SINK       STATE  LOADED  POSITION  BEHIND           ROWS/S
  lake       live   100 %   1,006     3 blocks, 4.0 s  1.2k
  warehouse  live   100 %   1,009     0.1 s            0
  PROCESS  STATE    HOST               PID  VERSION             SINCE  HEARD OF
  run      running  a-very-long-name…  77   v0.0.0-2026113004…  60 m   2.0 s ago`, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSeveralPipelines(t *testing.T) {
	t.Parallel()
	build := func(name string, change func(f *status.Facts)) status.Pipeline {
		f := live()
		f.Name = name
		if change != nil {
			change(&f)
		}
		return status.Build(f, status.Options{})
	}
	slow := build("logs", func(f *status.Facts) { f.Processes[0].Sinks[0].Latency = 1.5 })
	behind := build("blocks", func(f *status.Facts) { f.Sinks[0].Report.Coverage = block.NewSet(block.Range{Start: 0, End: 500}) })
	broken := build("logs", func(f *status.Facts) { f.Sinks[0].Report.State = state.SinkFailed })
	for want, all := range map[string][]status.Pipeline{
		"live; everything loaded; 0.4 s behind":                                                    {build("a", nil)},
		"all 2 pipelines are live; everything loaded; 1.5 s behind":                                {build("a", nil), slow},
		"all 2 pipelines are well; blocks: loading: 50 % of 1,000 blocks are in every destination": {slow, behind},
		"logs: lake is stopped: an error":                                                          {behind, broken},
	} {
		if got := status.Summarize(all).Sentence; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
