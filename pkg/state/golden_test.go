package state_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestDocumentsStayAsTheyAre: what one version has written is read by all later ones, and
// processes of two versions share documents. A full document has every field of its type.
func TestDocumentsStayAsTheyAre(t *testing.T) {
	const hash = `"0x0100000000000000000000000000000000000000000000000000000000000000"`
	number := func(n block.Number) *block.Number { return &n }
	rows := func(n uint64) *uint64 { return &n }
	at := func(n block.Number) block.Cursor { return block.Cursor{Network: "net", Number: n, Hash: block.Hash{1}} }
	when := time.Date(2026, 11, 29, 12, 0, 0, 120_000_000, time.UTC)
	for name, c := range map[string]struct {
		document, read any
		full           bool
		text           string
	}{
		"plan": {
			document: &state.Spec{
				Epoch: 7, Query: "SELECT 1", BlockColumn: "block_num", Schema: []byte{1, 2}, Network: "net", History: block.Range{Start: 5, End: 90},
				Live:     &state.Origin{Start: 90, Points: []block.Cursor{at(4), at(89)}, Open: true, Tentative: true},
				MaxBlock: number(100), Sinks: []string{"lake", "cache"}, Planned: when,
				Version: 1, Earlier: []state.Earlier{{Version: 0, Query: "SELECT 0", LiveFrom: number(90)}, {Version: 3, Query: "SELECT 3"}}, LiveFrom: number(95),
				Rejoins: []state.Rejoin{{
					Sink: "cache", From: state.LiveState{Started: true, Epoch: 6, Seq: 12, Start: 20, Cursor: at(29)}, Keep: 28,
					To: state.LiveState{Started: true, Epoch: 7, Seq: 70, Start: 90, Cursor: at(89)}, Asked: when,
				}},
			},
			read: &state.Spec{}, full: true,
			text: `{"epoch":7,"block_column":"block_num","schema":"AQI=","network":"net","history":[5,90],` +
				`"live":{"start":90,"points":[{"network":"net","number":4,"hash":` + hash + `},{"network":"net","number":89,"hash":` + hash + `}],"open":true,"tentative":true},` +
				`"max_block":100,"sinks":["lake","cache"],"planned":"2026-11-29T12:00:00.12Z",` +
				`"version":1,"earlier":[{"version":0,"query":"SELECT 0","live_from":90},{"version":3,"query":"SELECT 3"}],"live_from":95,` +
				`"rejoins":[{"sink":"cache","keep":28,"asked":"2026-11-29T12:00:00.12Z",` +
				`"from":{"started":true,"epoch":6,"seq":12,"start":20,"cursor":{"network":"net","number":29,"hash":` + hash + `}},` +
				`"to":{"started":true,"epoch":7,"seq":70,"start":90,"cursor":{"network":"net","number":89,"hash":` + hash + `}}}],` +
				`"query":{"version":1,"value":"SELECT 1"}}`,
		},
		"plan of the first query": {
			document: &state.Spec{Query: "SELECT 1", Live: &state.Origin{}},
			read:     &state.Spec{},
			text: `{"epoch":0,"query":"SELECT 1","block_column":"","schema":null,"network":"","history":[0,0],` +
				`"live":{"start":0},"planned":"0001-01-01T00:00:00Z"}`,
		},
		"partition": {
			document: &state.Partition{
				Start: 5, Generation: 1, End: 9, State: state.PartitionFailed, Attempts: 3, Error: "no", Rows: 17, Seconds: 1.5, Version: 2, Held: true, Next: 7,
				Merged: &state.Merged{Partitions: 2, Generation: 3, Results: []byte{1, 2}},
			},
			read: &state.Partition{}, full: true,
			text: `{"start":5,"generation":1,"end":9,"attempts":3,"error":"no","rows":17,"seconds":1.5,"version":2,"held":true,"next":7,` +
				`"merged":{"partitions":2,"generation":3,"results":"AQI="},` +
				`"state":{"version":2,"value":"failed"}}`,
		},
		"partition of the first query": {
			document: &state.Partition{State: state.PartitionOpen}, read: &state.Partition{},
			text: `{"start":0,"generation":0,"end":0,"state":"open"}`,
		},
		"live position": {
			document: &state.LivePosition{
				Epoch: 7, Seq: 12, Next: 95, Points: []block.Cursor{at(94)}, Phase: state.LiveDone, Until: number(100), Error: "no", Reorgs: 2, Updated: when,
				Recent: []state.Reorg{{At: when, From: 93, Blocks: 2, Rows: rows(17)}, {At: when, From: 94, Blocks: 1}},
			},
			read: &state.LivePosition{}, full: true,
			text: `{"epoch":7,"seq":12,"next":95,"points":[{"network":"net","number":94,"hash":` + hash + `}],"phase":"done","until":100,"error":"no",` +
				`"reorgs":2,"recent":[{"at":"2026-11-29T12:00:00.12Z","from":93,"blocks":2,"rows":17},{"at":"2026-11-29T12:00:00.12Z","from":94,"blocks":1}],` +
				`"updated":"2026-11-29T12:00:00.12Z"}`,
		},
		"process": {
			document: &state.Process{
				Role: "sink-lake", Slot: 1, Host: "h", PID: 7, Version: "0.2.0", Stages: []string{"sink lake"}, Workers: 4,
				Started: when, Beat: when, Ended: when, Error: "no", Done: true,
				Read: state.Rate{Rows: 17, PerSec: 1.5}, Left: 2.5,
				Reading: []block.Range{{Start: 5, End: 9}, {Start: 20, End: 30}},
				Sinks:   []state.ProcessSink{{Name: "lake", Rate: state.Rate{Rows: 12, PerSec: 0.5}, Latency: 0.25}},
				Waits:   []state.Wait{{Part: "sink lake", State: "waiting", Reason: "no", Since: when}}, More: 3,
			},
			read: &state.Process{}, full: true,
			text: `{"role":"sink-lake","slot":1,"host":"h","pid":7,"version":"0.2.0","stages":["sink lake"],"workers":4,` +
				`"started":"2026-11-29T12:00:00.12Z","beat":"2026-11-29T12:00:00.12Z","ended":"2026-11-29T12:00:00.12Z","error":"no","done":true,` +
				`"read":{"rows":17,"per_second":1.5},"left":2.5,"reading":[[5,9],[20,30]],` +
				`"sinks":[{"name":"lake","rows":12,"per_second":0.5,"latency":0.25}],` +
				`"waits":[{"part":"sink lake","state":"waiting","reason":"no","since":"2026-11-29T12:00:00.12Z"}],"more":3}`,
		},
		"process that has just begun": {
			document: &state.Process{Role: "run"}, read: &state.Process{},
			text: `{"role":"run","slot":0,"host":"","pid":0,"version":"","stages":null,"started":"0001-01-01T00:00:00Z","beat":"0001-01-01T00:00:00Z"}`,
		},
		"live position of nothing": {
			document: &state.LivePosition{}, read: &state.LivePosition{},
			text: `{"epoch":0,"seq":0,"next":0,"phase":"","reorgs":0,"updated":"0001-01-01T00:00:00Z"}`,
		},
		"pause": {
			document: &state.Pause{Paused: true, Since: when}, read: &state.Pause{}, full: true,
			text: `{"paused":true,"since":"2026-11-29T12:00:00.12Z"}`,
		},
		"replay": {
			document: &state.Replay{
				Blocks: block.NewSet(block.Range{Start: 5, End: 9}, block.Range{Start: 20, End: 30}), FromLog: block.NewSet(block.Range{Start: 5, End: 9}),
				Removed: block.NewSet(block.Range{Start: 5, End: 7}), Step: state.ReplayFailed, Worker: "w", Error: "no", Asked: when, Updated: when,
				Before: &state.LettersMark{Stream: when, Seq: 7},
				Past:   []state.PastLetters{{Blocks: block.NewSet(block.Range{Start: 6, End: 7}), Before: state.LettersMark{Stream: when, Seq: 3}}},
			},
			read: &state.Replay{}, full: true,
			text: `{"blocks":[[5,9],[20,30]],"from_log":[[5,9]],"removed":[[5,7]],"step":"failed","worker":"w","error":"no",` +
				`"asked":"2026-11-29T12:00:00.12Z","updated":"2026-11-29T12:00:00.12Z","before":{"stream":"2026-11-29T12:00:00.12Z","seq":7},` +
				`"past":[{"blocks":[[6,7]],"before":{"stream":"2026-11-29T12:00:00.12Z","seq":3}}]}`,
		},
		"report": {
			document: &state.SinkReport{
				Name: "lake", Coverage: block.NewSet(block.Range{Start: 5, End: 9}, block.Range{Start: 20, End: 30}),
				Live: state.LiveState{Started: true, Epoch: 7, Seq: 12, Start: 20, Cursor: at(29)},
				Rows: 17, State: state.SinkPaused, Reason: "no", ByRequest: true, Rejoins: true, Pruned: 4, Indexing: &state.Indexing{Progress: "40 %", Unbuilt: 2, Error: "no"}, Read: when, Updated: when,
			},
			read: &state.SinkReport{}, full: true,
			text: `{"name":"lake","coverage":[[5,9],[20,30]],` +
				`"live":{"started":true,"epoch":7,"seq":12,"start":20,"cursor":{"network":"net","number":29,"hash":` + hash + `}},` +
				`"rows":17,"state":"paused","reason":"no","by_request":true,"rejoins":true,"pruned":4,"indexing":{"progress":"40 %","unbuilt":2,"error":"no"},"read":"2026-11-29T12:00:00.12Z","updated":"2026-11-29T12:00:00.12Z"}`,
		},
		"report of nothing": {
			document: &state.SinkReport{Name: "lake", State: state.SinkRunning}, read: &state.SinkReport{},
			text: `{"name":"lake","coverage":[],"live":{},"rows":0,"state":"running","updated":"0001-01-01T00:00:00Z"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.full {
				requireFull(t, name, reflect.ValueOf(c.document).Elem())
			}
			text, err := json.Marshal(c.document)
			if err != nil || string(text) != c.text {
				t.Errorf("it is written as\n%s, %v, want\n%s", text, err, c.text)
			}
			err = json.Unmarshal([]byte(c.text), c.read)
			if err != nil || !reflect.DeepEqual(c.read, c.document) {
				t.Errorf("it is read as\n%+v, %v, want\n%+v", c.read, err, c.document)
			}
		})
	}
}

// requireFull fails the test for a field of a document without a value: the text of the
// document would not show how the field is written.
func requireFull(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if v.Field(i).IsZero() {
			t.Errorf("%s.%s has no value", path, field.Name)
		}
		requireFull(t, path+"."+field.Name, v.Field(i))
	}
}
