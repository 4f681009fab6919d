package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// condition is what a server is like.
type condition struct {
	info       map[string]string // see [serverInfo]
	roundTrip  time.Duration     // the shortest of a few
	appendSync string            // appendfsync; empty: the user may not ask for it
}

// roundTrips is how often the time of one is measured.
const roundTrips = 5

// Examine looks at the servers for what costs speed or safety; see [sink.Examiner].
func (w *Writer) Examine(ctx context.Context, _ sink.Table) ([]sink.Finding, error) {
	g := &format.Table{Redis: w.cfg}
	client, err := connect(w.cfg, &w.connections)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // nothing was written
	var all []sink.Finding
	var one sync.Mutex
	err = eachServer(ctx, client, func(ctx context.Context, server redis.UniversalClient) error {
		c, err := examineServer(ctx, server)
		if err != nil {
			return err
		}
		one.Lock()
		defer one.Unlock()
		for _, f := range slices.Concat(c.safety(), c.speed()) {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
		return nil
	})
	if redis.HasErrorPrefix(err, "NOPERM") {
		return nil, nil // Check says which rights are missing
	}
	if err == nil && g.Cluster {
		var slots []redis.ClusterSlot
		slots, err = client.ClusterSlots(ctx).Result()
		all = append(all, slotFindings(slots)...)
	}
	return all, openError(ctx, g, err)
}

func examineServer(ctx context.Context, server redis.UniversalClient) (c condition, err error) {
	for n := range roundTrips {
		began := time.Now()
		c.info, err = serverInfo(ctx, server)
		if err != nil {
			return c, err
		}
		if took := time.Since(began); n == 0 || took < c.roundTrip {
			c.roundTrip = took
		}
	}
	answer, err := server.ConfigGet(ctx, "appendfsync").Result()
	if redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "ERR unknown command") {
		return c, nil
	}
	c.appendSync = answer["appendfsync"]
	return c, err
}

// slotFindings judges how the slots of a Cluster are kept.
func slotFindings(slots []redis.ClusterSlot) (all []sink.Finding) {
	var alone []string
	served := 0
	for _, s := range slots {
		served += s.End - s.Start + 1
		if len(s.Nodes) == 1 && !slices.Contains(alone, s.Nodes[0].Addr) {
			alone = append(alone, s.Nodes[0].Addr)
		}
	}
	if served < allSlots {
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: fmt.Sprintf("%d of the %d slots of the Cluster have no server, "+
				"and rows whose keys are in them cannot be written", allSlots-served, allSlots),
			Fix: "start the servers that are away, or run redis-cli --cluster fix HOST:PORT",
		})
	}
	if len(alone) > 0 {
		slices.Sort(alone)
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: fmt.Sprintf("masters of the Cluster have no replica (%q): "+
				"nothing is loaded while one of them is away, and what it loses is gone", alone),
			Fix: "run redis-cli --cluster add-node NEW EXISTING --cluster-slave for each",
		})
	}
	return all
}

// allSlots is how many slots a Cluster has.
const allSlots = 16384
