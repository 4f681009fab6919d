package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// farNATS is from where on a round trip to NATS is long.
const farNATS = 20 * time.Millisecond

// examineNATS looks at a NATS server of its own for what costs speed or safety.
func (c *checkup) examineNATS(ctx context.Context, conn *natsConn, p *config.Pipeline) {
	facts, err := conn.Facts(ctx, p.Name)
	if err != nil {
		c.refuse(partNATS, err)
		return
	}
	c.add(partNATS, natsFindings(facts, p.NATS.Replicas)...)
	c.add(partNATS, payloadFindings(conn.EntryLimit(), p.Log.EntryBytes)...)
	every, err := conn.SyncInterval(ctx, c.monitor)
	c.add(partNATS, syncFindings(every, p.NATS.Replicas, err)...)
}

// natsFindings judges how the server keeps the streams. wanted is nats.replicas.
func natsFindings(f queue.Facts, wanted int) (all []sink.Finding) {
	switch {
	case f.Cluster != "" && wanted == 1:
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: "nats.replicas is 1, and the NATS server is in a cluster: nothing is loaded while the one server that has the streams is away",
			Fix:  "set nats.replicas: 3",
		})
	case wanted%2 == 0:
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: fmt.Sprintf("nats.replicas is %d, of which more than half have to be there: it stands no more servers that are away than %d does",
				wanted, wanted-1),
			Fix: fmt.Sprintf("set nats.replicas: %d", wanted+1),
		})
	}
	for _, s := range f.Streams {
		if s.Replicas != wanted {
			all = append(all, sink.Finding{
				Kind: sink.Safety,
				Text: fmt.Sprintf("the stream %s has %d replicas, and nats.replicas is %d", s.Name, s.Replicas, wanted),
				Fix:  "start the planner, or ampipe run, again: it changes the stream",
			})
		}
		if len(s.Behind) > 0 {
			all = append(all, sink.Finding{
				Kind: sink.Safety,
				Text: fmt.Sprintf("replicas of the stream %s are away, or lack messages: %s", s.Name, strings.Join(s.Behind, ", ")),
				Fix:  "start these NATS servers, or wait until they have caught up",
			})
		}
	}
	if f.RoundTrip > farNATS {
		all = append(all, sink.Finding{
			Kind: sink.Speed,
			Text: fmt.Sprintf("a round trip to NATS takes %v, and each live block waits for several", f.RoundTrip.Round(time.Millisecond)),
			Fix:  "run ampipe on a machine that is nearer to the NATS server",
		})
	}
	return all
}

// payloadFindings compares what fits into a message with log.entry_bytes.
func payloadFindings(limit, entry int) []sink.Finding {
	if limit >= entry {
		return nil
	}
	return []sink.Finding{{
		Kind: sink.Speed,
		Text: fmt.Sprintf("the NATS server takes entries of up to %s, and log.entry_bytes is %s: what is larger goes in pieces, "+
			"and a large block all at once", queue.Size(int64(limit)), queue.Size(int64(entry))),
		Fix: "set max_payload: 8MB in the configuration of the NATS server",
	}}
}

// syncFindings judges after how long the server syncs what it has acknowledged; err: that
// could not be learnt.
func syncFindings(every time.Duration, replicas int, err error) []sink.Finding {
	switch {
	case err != nil:
		return []sink.Finding{{
			Kind: sink.Unseen,
			Text: fmt.Sprintf("whether NATS syncs what it acknowledges is known to its monitoring alone: %v", err),
			Fix: "look for sync_interval: always in the configuration of the NATS server, or name its monitoring with " +
				"--nats-monitor http://HOST:8222",
		}}
	case every == 0:
		return nil
	}
	crash := "when its machine crashes"
	if replicas > 1 {
		crash = "when most of the machines with a replica crash at once"
	}
	return []sink.Finding{{
		Kind: sink.Safety,
		Text: fmt.Sprintf("the NATS server syncs its files every %v: what it acknowledged since is lost %s, "+
			"and is read from Amp once more", every, crash),
		Fix: "set sync_interval: always in the section jetstream of its configuration",
	}}
}
