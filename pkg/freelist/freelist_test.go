package freelist_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/freelist"
)

// What is used again and again stays, whatever the collector does; what is not goes.
func TestListKeepsWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l freelist.List[int]
		if item, ok := l.Get(); ok {
			t.Fatalf("an empty list returned %d", item)
		}
		for i := range 5 {
			l.Put(i)
		}
		for range 10 { // two of the five are needed
			runtime.GC()
			last, _ := l.Get()
			before, ok := l.Get()
			if !ok || last != 4 || before != 3 {
				t.Fatalf("got %d and %d, want what was put last", last, before)
			}
			l.Put(before)
			l.Put(last)
			time.Sleep(freelist.Period / 2)
		}
		for range 2 {
			if _, ok := l.Get(); !ok {
				t.Fatal("what was needed was dropped")
			}
		}
		if item, ok := l.Get(); ok {
			t.Fatalf("%d was kept, which nobody has needed", item)
		}
	})
}

// A list that nobody uses becomes empty, and has no timer then: the test would not end.
func TestListBecomesEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l freelist.List[int]
		for range 2 {
			l.Put(1)
			time.Sleep(2*freelist.Period + time.Millisecond)
			if _, ok := l.Get(); ok {
				t.Fatal("an item stayed, which nobody has needed")
			}
		}
	})
}
