package plan_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
)

// A destination that goes back behind what it has acknowledged is given a new epoch:
// the log holds the entries, but would never deliver them again. One that only has not
// acknowledged, or not reported yet, is left alone.
func TestADestinationThatWasSetBack(t *testing.T) {
	t.Parallel()
	d := follow(t, "warehouse", "cache")
	var marks []uint64
	d.publish(entry.Invalidate, block.Closed(800, 800))
	for _, r := range []block.Range{block.Closed(800, 820), block.Closed(821, 840), block.Closed(841, 900)} {
		marks = append(marks, d.publish(entry.Watermark, r))
	}
	d.reached(queue.LiveRunning, marks[2], 901)
	messages := make(map[string][]*queue.Message)
	for _, sink := range []string{"warehouse", "cache"} {
		c, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
		must(t, err)
		t.Cleanup(c.Close)
		for range 4 {
			m, err := c.Next(t.Context())
			must(t, err)
			messages[sink] = append(messages[sink], m)
		}
	}
	acknowledge := func(sink string, entries int) {
		for _, m := range messages[sink][:entries] {
			must(t, m.Ack())
		}
		messages[sink] = messages[sink][entries:]
	}
	says := func(warehouse, cache uint64, at block.Number) {
		d.tells("warehouse", d.mark(warehouse, 800, 900))
		d.tells("cache", d.mark(cache, 800, at))
		d.looks()
	}
	d.run()
	acknowledge("warehouse", 4)
	acknowledge("cache", 2)
	for range 4 {
		says(marks[2], marks[0], 820) // cache has committed what it has acknowledged
	}
	acknowledge("cache", 2)
	d.until("the acknowledgements are seen", func(s plan.Status) bool { return s.Sinks[1].Live.AckFloor >= marks[2] })
	says(marks[2], marks[0], 820) // its report is late
	says(marks[2], marks[2], 900)
	for range 4 {
		says(marks[2], marks[2], 900)
	}
	if s := d.stored(); s.Epoch != 1 {
		t.Fatalf("epoch %d begins though nothing is lost", s.Epoch)
	}
	for range 4 { // set back
		says(marks[2], marks[1], 840)
	}
	if s := d.stored(); s.Epoch != 2 || s.Live.Start != 841 {
		t.Errorf("epoch %d from %d, want 2 from 841", s.Epoch, s.Live.Start)
	}
}
