package pool_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ampipe/ampipe/pkg/pool"
)

// crew records which indexes are at work.
type crew struct {
	mu   sync.Mutex
	runs []int
}

func (c *crew) work(finish <-chan struct{}, over <-chan struct{}) func(<-chan struct{}, int) error {
	return func(leave <-chan struct{}, index int) error {
		c.mu.Lock()
		c.runs = append(c.runs, index)
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.runs = slices.DeleteFunc(c.runs, func(i int) bool { return i == index })
		}()
		select {
		case <-leave:
			<-finish // what was begun
		case <-over:
		}
		return nil
	}
}

func (c *crew) indexes() []int {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.runs))
}

func TestRunFollowsTheSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size, crew := pool.Of(2), &crew{}
		finish, over, done := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() { done <- size.Run(crew.work(finish, over)) }()
		want := func(what string, indexes ...int) {
			t.Helper()
			if got := crew.indexes(); !slices.Equal(got, indexes) {
				t.Errorf("%s: %v are at work, want %v", what, got, indexes)
			}
		}
		want("at first", 0, 1)
		size.Set(4)
		want("grown", 0, 1, 2, 3)
		size.Set(1)
		want("shrunk: what was begun is finished", 0, 1, 2, 3)
		size.Set(2)
		want("grown again before the others have finished", 0, 1, 2, 3)
		close(finish)
		want("finished, and the second started anew", 0, 1)
		close(over)
		if err := <-done; err != nil {
			t.Error(err)
		}
		want("no more work")
	})
}

func TestRunEndsWithTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed, other := errors.New("failed"), make(chan struct{})
		done := make(chan error)
		size := pool.Of(2)
		go func() {
			done <- size.Run(func(_ <-chan struct{}, index int) error {
				if index == 0 {
					return failed
				}
				<-other
				return nil
			})
		}()
		synctest.Wait()
		size.Set(8) // nothing is started after an error
		synctest.Wait()
		close(other)
		if err := <-done; !errors.Is(err, failed) {
			t.Errorf("Run returns %v", err)
		}
	})
}

func TestThereIsAtLeastOne(t *testing.T) {
	size := pool.Of(0)
	_, changed := size.Get()
	size.Set(-1)
	select {
	case <-changed:
		t.Error("from one to one is a change")
	default:
	}
	if n := size.N(); n != 1 {
		t.Errorf("%d workers", n)
	}
}
