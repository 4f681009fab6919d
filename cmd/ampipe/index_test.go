package main

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/status"
)

// TestAnIndexThatCannotBeBuilt is a trouble of the pipeline with its reason, which metrics
// have, too, until it can be built. The rows are loaded nevertheless.
func TestAnIndexThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "500ms"), vars: map[string]string{}}
	pg := newWarehouse(s)
	pg.run("CREATE TABLE blocks_hash_idx (taken int)")
	s.configure(`
pipeline: blocks
source: { amp: $AMP, query: SELECT * FROM eth.blocks }
range: { reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks: [ { name: pg, postgres: { dsn: "$URL", table: blocks, indexes: [[hash], [timestamp]] } } ]
`)
	listen := freeAddress(t)
	s.start("run", "--listen", listen)
	o := s.overview("it is said", func(o status.Overview) bool {
		return o.Level == status.Degraded && strings.HasPrefix(o.Sentence, "indexes of pg could not be built: ")
	})
	p := o.Pipelines[0]
	if want := "something else has the name of the index; rename that"; !strings.Contains(o.Sentence, want) || !strings.Contains(o.Next, "it is tried again") {
		t.Errorf("%q is not in %q, with %q", want, o.Sentence, o.Next)
	}
	if is := p.Sinks[0]; is.State != status.SinkLive || is.Indexing == nil || is.Indexing.Unbuilt != 2 {
		t.Errorf("the sink is %s, and its indexes are %+v", is.State, is.Indexing)
	}
	s.serves(listen, `ampipe_sink_indexing_failed{pipeline="blocks",sink="pg"} 1`)
	s.serves(listen, `ampipe_sink_unbuilt_indexes{pipeline="blocks",sink="pg"} 2`)
	pg.run("DROP TABLE blocks_hash_idx")
	s.overview("it is built", func(o status.Overview) bool {
		return o.Level == status.Healthy && o.Pipelines[0].Sinks[0].Indexing == nil
	})
	s.serves(listen, `ampipe_sink_indexing_failed{pipeline="blocks",sink="pg"} 0`)
	s.serves(listen, `ampipe_sink_unbuilt_indexes{pipeline="blocks",sink="pg"} 0`)
}
