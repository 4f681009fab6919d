package queue_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
)

// BenchmarkPublish appends to lanes as extractors do, one message in flight per
// lane, on a server that has everything on the disk before it answers.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{512 << 10, 1 << 20} {
		for _, lanes := range []int{1, 4} {
			b.Run(fmt.Sprintf("%dKiB/lanes=%d", size>>10, lanes), func(b *testing.B) {
				l := mustLog(b, mustConn(b), 0)
				g := group(0, 0, size)
				b.SetBytes(int64(size))
				b.ResetTimer()
				var workers sync.WaitGroup
				for lane := range lanes {
					workers.Go(func() {
						after := uint64(0)
						for i := lane; i < b.N; i += lanes {
							seq, err := l.Publish(b.Context(), fmt.Sprintf("p.%d.0", lane), after, fmt.Sprint(i), g)
							if err != nil {
								b.Error(err)
								return
							}
							after = seq
						}
					})
				}
				workers.Wait()
			})
		}
	}
}

// BenchmarkConsume reads and acknowledges messages of 512 KiB one by one.
func BenchmarkConsume(b *testing.B) {
	l := mustLog(b, mustConn(b), 0)
	const size = 512 << 10
	const stored = 400
	mustFill(b, l, "p.0.0", stored, size)
	b.SetBytes(size)
	b.ResetTimer()
	for done := 0; done < b.N; {
		c := mustConsume(b, l, queue.ConsumeOptions{})
		for range min(stored, b.N-done) {
			mustAck(b, mustNext(b, c))
			done++
		}
		c.Close()
		if err := l.RemoveConsumer(b.Context(), "warehouse"); err != nil {
			b.Fatal(err)
		}
	}
}
