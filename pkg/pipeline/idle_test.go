package pipeline

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleClockCountsOnlyWhileThereIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newIdleClock()
		began := time.Now()
		if got := c.worst(); got != 0 {
			t.Errorf("before anything: %v", got)
		}
		time.Sleep(10 * time.Second) // everything is checked and planned
		c.add(0, began, time.Now())
		time.Sleep(time.Second)
		c.add(1, began, time.Now()) // one second without work
		time.Sleep(8 * time.Second)
		idle := time.Now()
		time.Sleep(time.Second)
		c.finished()
		time.Sleep(time.Hour) // the sinks catch up
		c.add(0, idle, time.Now())
		c.add(1, idle, time.Now())
		if got := c.worst(); got != 0.2 {
			t.Errorf("the second worker idled for 2 of 10 seconds, not %v", got)
		}
	})
}
