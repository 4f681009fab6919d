package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// TestRulesOfTheDoctor judges what is as it should be, and one thing after the other that is
// not.
func TestRulesOfTheDoctor(t *testing.T) {
	t.Parallel()
	near := time.Millisecond
	stream := queue.StreamFacts{Name: "AMPIPE_LOG_logs", Replicas: 3}
	behind := stream
	behind.Behind = []string{"n2", "n3"}
	store, lake := folder{"nats.embedded", "./nats", true}, folder{"delta.path of the sink lake", "./lake", false}
	const disk = 1000 << 30
	now := time.Now()
	head := func(age time.Duration) []amp.Range {
		return []amp.Range{{Network: "mainnet", Numbers: block.Range{End: 1_000_001}, Timestamp: now.Add(-age)}, {Network: "empty"}}
	}
	for name, c := range map[string]struct {
		got  []sink.Finding
		kind sink.FindingKind
		want string // in the only finding; empty: there is none
	}{
		"one server":           {got: natsFindings(queue.Facts{RoundTrip: near}, 1)},
		"three servers":        {got: natsFindings(queue.Facts{RoundTrip: near, Cluster: "c", Streams: []queue.StreamFacts{stream}}, 3)},
		"one of three servers": {natsFindings(queue.Facts{RoundTrip: near, Cluster: "c"}, 1), sink.Safety, "nats.replicas is 1, and the NATS server is in a cluster"},
		"two replicas":         {natsFindings(queue.Facts{RoundTrip: near, Cluster: "c"}, 2), sink.Safety, "servers that are away than 1 does"},
		"other replicas": {natsFindings(queue.Facts{RoundTrip: near, Cluster: "c", Streams: []queue.StreamFacts{stream}}, 5),
			sink.Safety, "the stream AMPIPE_LOG_logs has 3 replicas, and nats.replicas is 5"},
		"replicas that are away": {natsFindings(queue.Facts{RoundTrip: near, Cluster: "c", Streams: []queue.StreamFacts{behind}}, 3), sink.Safety, "lack messages: n2, n3"},
		"NATS is far away":       {natsFindings(queue.Facts{RoundTrip: 35 * time.Millisecond}, 1), sink.Speed, "a round trip to NATS takes 35ms"},
		"large messages":         {got: payloadFindings(8<<20, 2<<20)},
		"small messages":         {payloadFindings(1<<20, 2<<20), sink.Speed, "takes entries of up to 1 MiB, and log.entry_bytes is 2 MiB"},
		"always synced":          {got: syncFindings(0, 1, nil)},
		"seldom synced":          {syncFindings(2*time.Minute, 1, nil), sink.Safety, "every 2m0s: what it acknowledged since is lost when its machine crashes"},
		"seldom synced by three": {syncFindings(2*time.Minute, 3, nil), sink.Safety, "lost when most of the machines with a replica crash at once"},
		"nobody knows":           {syncFindings(0, 1, errors.New("no answer")), sink.Unseen, "known to its monitoring alone: no answer"},
		"a disk":                 {got: volumeFindings(store, volume{0xef53, disk / 2, disk, near})},
		"memory":                 {volumeFindings(lake, volume{tmpFS, disk / 2, disk, 0}), sink.Safety, "the folder ./lake (delta.path of the sink lake) is in memory"},
		"a container":            {volumeFindings(store, volume{overlayFS, disk / 2, disk, near}), sink.Safety, "is in the file system of a container"},
		"a share":                {volumeFindings(store, volume{nfsFS, disk / 2, disk, near}), sink.Safety, "is on a network share"},
		"a share with a lake":    {got: volumeFindings(lake, volume{smbFS, disk / 2, disk, 0})},
		"a full disk":            {volumeFindings(lake, volume{0xef53, 20 << 30, disk, 0}), sink.Safety, "is on a disk that has 20 GiB of 1000 GiB left"},
		"room on a large disk":   {got: volumeFindings(lake, volume{0xef53, 60 << 30, disk, 0})},
		"a slow disk":            {volumeFindings(store, volume{0xef53, disk / 2, disk, 30 * time.Millisecond}), sink.Speed, "takes 30ms to sync a page"},
		"Amp is fast":            {got: answerFindings(near)},
		"Amp is slow":            {answerFindings(3 * time.Second), sink.Speed, "Amp takes 3.0 s to say which blocks it has"},
		"a new block":            {got: headFindings(head(time.Minute), now)},
		"an old block":           {headFindings(head(3*time.Hour), now), KindWarning, "the newest block of mainnet that Amp has, 1,000,000, is 3 h old"},
		"a block to come":        {headFindings(head(-time.Hour), now), KindWarning, "is of 60 m from now: the clock of this machine is behind"},
		"a block without a time": {headFindings([]amp.Range{{Network: "mainnet", Numbers: block.Range{End: 9}}}, now), sink.Unseen, "Amp does not say its time"},
	} {
		switch {
		case c.want == "" && len(c.got) == 0:
		case len(c.got) != 1 || c.want == "" || c.got[0].Kind != c.kind || !strings.Contains(c.got[0].Text, c.want) || c.got[0].Fix == "":
			t.Errorf("%s: got %+v", name, c.got)
		}
	}
}

// TestVolumeOf asks about a folder that is there, and one that is not yet.
func TestVolumeOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, busy := range map[string]bool{dir: true, dir + "/a/b": true, dir + "/c": false} {
		v, err := volumeOf(folder{"nats.embedded", path, busy})
		if err != nil || v.total == 0 || v.free > v.total || (v.sync > 0) != busy {
			t.Errorf("%s: %+v, %v", path, v, err)
		}
	}
	p := &config.Pipeline{NATS: config.NATS{Embedded: dir}, Sinks: []config.Sink{
		{Name: "lake", Delta: &config.Delta{Path: dir}}, {Name: "bucket", Delta: &config.Delta{URL: "s3://b/f"}}, {Name: "pg", Postgres: &config.Postgres{}},
	}}
	if all := foldersOf(p); len(all) != 2 || !all[0].busy || all[1].busy {
		t.Errorf("the folders are %+v", all)
	}
}

// TestReport puts together what was found of two pipelines that share a server.
func TestReport(t *testing.T) {
	t.Parallel()
	var r Report
	for _, name := range []string{"blocks", "logs"} {
		c := newCheckup(&config.Pipeline{Name: name}, Options{})
		c.add(partNATS, sink.Finding{Kind: sink.Unseen, Text: "nobody knows"})
		for range 2 { // said by check and by the destination
			c.refuse(partSink+"warehouse", fmt.Errorf("sink %q: %w", "warehouse",
				fault.Permanent(errors.New("the user \"loader\" lacks rights; run GRANT DELETE ON public."+name+" TO loader"))))
		}
		c.warn(partSink+"a sink with a very long name", "it is so")
		c.refuse(partAmp, nil)
		if name == "logs" {
			c.add(partSink+"warehouse", sink.Finding{Kind: sink.Speed, Text: strings.Repeat("slow ", 40), Fix: "run it\x1b[2J faster"})
		}
		r.Pipelines = append(r.Pipelines, name)
		r.add(c.found)
	}
	slices.SortStableFunc(r.Findings, byKind)
	if code := ops.ExitCode(r.Err()); code != ops.ExitIncomplete || !errors.Is(r.Err(), ops.ErrSaid) {
		t.Errorf("exit code %d: %v", code, r.Err())
	}
	const want = `4 findings: 2 errors, 1 warning, 1 about speed; 1 could not be seen

blocks:
  PART                  KIND     FINDING
  sink warehouse        error    the user "loader" lacks rights; run GRANT
                                 DELETE ON public.blocks TO loader

logs:
  PART                  KIND     FINDING
  sink warehouse        error    the user "loader" lacks rights; run GRANT
                                 DELETE ON public.logs TO loader
  sink warehouse        speed    slow slow slow slow slow slow slow slow slow
                                 slow slow slow slow slow slow slow slow slow
                                 slow slow slow slow slow slow slow slow slow
                                 slow slow slow slow slow slow slow slow slow
                                 slow slow slow slow
                                 fix: run it [2J faster

blocks, logs:
  PART                  KIND     FINDING
  sink a sink with a …  warning  it is so
  NATS                  unseen   nobody knows`
	if got := strings.Join(r.Text(80), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, wide := range []int{60, 80, 200} {
		for _, line := range r.Text(wide) {
			if progress.Columns(line) > wide {
				t.Errorf("in %d columns: %s", wide, line)
			}
		}
	}
	text, err := json.Marshal(r.Findings[0])
	if err != nil || string(text) != `{"pipelines":["blocks"],"part":"sink warehouse","kind":"error",`+
		`"text":"the user \"loader\" lacks rights; run GRANT DELETE ON public.blocks TO loader"}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// TestWhatAReportEndsWith is the exit code.
func TestWhatAReportEndsWith(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                   ops.ExitDone,
		"unseen":             ops.ExitDone,
		"unseen speed":       ops.ExitIncomplete,
		"warning":            ops.ExitIncomplete,
		"safety":             ops.ExitIncomplete,
		"error":              ops.ExitIncomplete,
		"error unavailable":  ops.ExitFailed,
		"unavailable unseen": ops.ExitFailed,
	} {
		var r Report
		for kind := range strings.FieldsSeq(text) {
			r.Findings = append(r.Findings, Finding{Finding: sink.Finding{Kind: sink.FindingKind(kind)}})
		}
		if got := ops.ExitCode(r.Err()); got != want {
			t.Errorf("%q: exit code %d, want %d", text, got, want)
		}
	}
	if got := (Report{}).Text(80); len(got) != 1 || got[0] != "everything is as it should be" {
		t.Errorf("without a finding: %q", got)
	}
	c := newCheckup(&config.Pipeline{}, Options{})
	c.refuse(partAmp, errors.Join(fault.Later(errors.New("away"), 0), ops.Config(errors.New("wrong"))))
	if len(c.found) != 2 || c.found[0].Kind != KindUnavailable || c.found[1].Kind != KindError || len(c.refused) != 2 {
		t.Errorf("found %+v", c.found)
	}
}

// examined is a destination of one's own that has something to say.
type examined struct {
	sink.Writer
	table sink.Table
	err   error
}

func (e *examined) Examine(_ context.Context, t sink.Table) ([]sink.Finding, error) {
	e.table = t
	return []sink.Finding{{Kind: sink.Speed, Text: "it is slow", Fix: "hurry"}}, e.err
}

// TestADestinationOfOnesOwnIsExamined, if it can be, also while the columns are not known.
func TestADestinationOfOnesOwnIsExamined(t *testing.T) {
	t.Parallel()
	mute, away := &struct{ sink.Writer }{}, &examined{err: fault.Later(errors.New("nobody answers"), 0)}
	speaks := &examined{}
	open := func(kind string, w sink.Writer) sink.Destination {
		return sink.Custom(kind, func(struct{}) (sink.Writer, error) { return w, nil })
	}
	o := Options{Destinations: []sink.Destination{open("mute", mute), open("away", away), open("speaks", speaks)}}
	p := &config.Pipeline{Name: "logs"}
	c := newCheckup(p, o)
	for _, kind := range []string{"mute", "away", "speaks", "elsewhere"} {
		c.examineSink(t.Context(), o, p, config.Sink{Name: kind, Custom: &config.Custom{Kind: kind}}, nil)
	}
	var got []string
	for _, f := range c.found {
		got = append(got, fmt.Sprint(f.Part, ": ", f.Kind, ": ", f.Text))
	}
	want := []string{"sink away: unavailable: nobody answers", "sink away: speed: it is slow", "sink speaks: speed: it is slow"}
	if !slices.Equal(got, want) || speaks.table.Pipeline != "logs" || speaks.table.Sink != "speaks" || speaks.table.Schema != nil {
		t.Errorf("found %q of %+v", got, speaks.table)
	}
}
