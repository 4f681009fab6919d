package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
)

// BenchmarkLiveBesideHistory publishes history as eight workers do, has it read, and measures
// how long a live entry takes meanwhile: until it is stored, and until it is read.
func BenchmarkLiveBesideHistory(b *testing.B) {
	const size, lanes, every = 700 << 10, 8, 20 * time.Millisecond
	server := mustServer(b, queue.ServerConfig{})
	l := mustLog(b, mustOpen(b, queue.Config{Server: server}), 4<<30)
	l.BoundHistory()
	ctx, end := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	reads := func(o queue.ConsumeOptions, got func(*queue.Message)) {
		c := mustConsume(b, l, o)
		readers.Go(func() {
			defer c.Close()
			for {
				m, err := c.Next(ctx)
				if err != nil {
					return
				}
				got(m)
				mustAck(b, m)
			}
		})
	}
	reads(queue.ConsumeOptions{}, func(*queue.Message) {})
	read := make(chan time.Time, 1)
	reads(queue.ConsumeOptions{Lanes: queue.Live}, func(*queue.Message) { read <- time.Now() })
	g := group(0, 0, size)
	b.SetBytes(size)
	b.ResetTimer()
	var next atomic.Int64
	var workers sync.WaitGroup
	for lane := range lanes {
		workers.Go(func() {
			after := uint64(0)
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				seq, err := l.Publish(ctx, fmt.Sprintf("p.%d.0", lane), after, fmt.Sprint(i), g)
				if err != nil {
					b.Error(err)
					return
				}
				after = seq
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		workers.Wait()
	}()
	var stored, arrived []time.Duration
	tick := time.NewTicker(every)
	defer tick.Stop()
	after := uint64(0)
	for loads := true; loads; {
		select {
		case <-done:
			b.StopTimer()
			loads = false
			continue
		case <-tick.C:
		}
		n := block.Number(len(stored))
		began := time.Now()
		after = mustPublish(b, l, queue.LiveLane, after, fmt.Sprint("live", n), group(n, n, 20<<10))
		stored = append(stored, time.Since(began))
		arrived = append(arrived, (<-read).Sub(began))
	}
	end()
	readers.Wait()
	for name, took := range map[string][]time.Duration{"stored": stored, "read": arrived} {
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		for _, share := range []int{50, 99} {
			b.ReportMetric(float64(took[len(took)*share/100].Microseconds())/1000, fmt.Sprintf("ms-%s-%d%%", name, share))
		}
	}
}
