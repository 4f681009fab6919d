package queue_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestAPositionThatIsBeingMade reads the positions of sinks while their consumers are made:
// the server says that nothing is pending before a consumer is led, and nothing has been read.
// Messages of other lanes are none that a sink lacks.
func TestAPositionThatIsBeingMade(t *testing.T) {
	t.Parallel()
	conn := mustConn(t)
	l := mustLog(t, conn, 0)
	mustFill(t, l, "p.0.0", 3, 100)
	mustFill(t, l, queue.LiveLane, 2, 100)
	for lanes, unread := range map[queue.Lanes]int{queue.History: 3, queue.Live: 2} {
		for i := range 30 {
			sink := fmt.Sprintf("sink-%d-%d", lanes, i)
			var readers sync.WaitGroup
			for range 8 {
				readers.Go(func() {
					for {
						at, err := l.Position(testContext(t), sink, lanes)
						if err != nil || (at.Exists && (at.Drained() || at.AckFloor > 2)) {
							t.Errorf("a sink that has read nothing is at %+v, %v", at, err)
							return
						}
						if at.Exists && at.Unread() == uint64(unread) {
							return
						}
					}
				})
			}
			consumer, err := l.Consume(testContext(t), sink, queue.ConsumeOptions{Lanes: lanes})
			must(t, err)
			readers.Wait()
			consumer.Close()
		}
		consumer := mustConsume(t, l, queue.ConsumeOptions{Lanes: lanes})
		for range unread {
			mustAck(t, mustNext(t, consumer))
		}
		waitForLanes(t, l, lanes, queue.Position{Exists: true, AckFloor: 5})
		consumer.Close()
	}
}
