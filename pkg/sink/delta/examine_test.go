package delta_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestExamine looks at a table before it is there, as ampipe has made it, and after others
// have changed it.
func TestExamine(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	as := sink.Table{Pipeline: "p", Sink: "s", Schema: sinktest.Schema, BlockColumn: 1}
	examine := func() []sink.Finding {
		t.Helper()
		found, err := d.writer().Examine(t.Context(), as)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := examine(); len(found) != 0 {
		t.Errorf("before it is there: %+v", found)
	}
	d.open(t, as)
	if found := examine(); len(found) != 0 {
		t.Errorf("as it was made: %+v", found)
	}
	commit := func(version int, lines string) {
		t.Helper()
		if err := d.store.Create(context.Background(), fmt.Sprintf("_delta_log/%020d.json", version), []byte(lines)); err != nil {
			t.Fatal(err)
		}
	}
	const file = `"partitionValues":{},"size":10,"modificationTime":1,"stats":"{\"numRecords\":1}"`
	commit(1, `{"commitInfo":{"operation":"WRITE","engineInfo":"delta-rs:1.0"}}`+"\n"+`{"add":{"path":"a.parquet","dataChange":true,`+file+`}}`)
	commit(2, `{"commitInfo":{"operation":"OPTIMIZE","engineInfo":"Spark"}}`+"\n"+`{"add":{"path":"b.parquet","dataChange":false,`+file+`}}`)
	commit(3, `{"remove":{"path":"a.parquet","dataChange":true,"deletionTimestamp":1}}`)
	as.Schema = nil // neither has to be known
	found := examine()
	var texts []string
	for _, f := range found {
		texts = append(texts, f.Text)
	}
	if text := strings.Join(texts, "\n"); len(found) != 2 ||
		!strings.Contains(text, "1 of the last 4 versions of the table change its rows and are of delta-rs:1.0:") ||
		!strings.Contains(text, "1 of the last 4 versions of the table change its rows and are of a program that does not say its name:") {
		t.Errorf("found\n%s", text)
	}
}
