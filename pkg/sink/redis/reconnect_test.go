package redis_test

import (
	"context"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// A server that became a replica is left: behind its name there may be another one by
// now. The transactions of documents begin with a command that a replica takes.
func TestAServerThatBecameAReplicaIsLeft(t *testing.T) {
	t.Parallel()
	p := launch(t, redisServer(t))
	ready(t, p.socket(), answers)
	s := serverAt(t, p.socket())
	admin := s.UniversalClient.(*driver.Client)
	received := func() string {
		info, err := admin.Info(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(info, "total_connections_received:")
		number, _, _ := strings.Cut(after, "\r")
		return number
	}
	for _, structure := range []config.Structure{config.String, config.Hash} {
		table := balanceTable(s)
		table.Sink = string(structure)
		w := open(t, s.config(structure, "{table}:"+string(structure)+":{block_num}:{address}"), table)
		c := entryOf(t, blocks(0, 10), balance{1, 1, 5})
		if err := admin.ReplicaOf(context.Background(), "127.0.0.1", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Apply(t.Context(), []sink.Change{c}); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "is a replica") {
			t.Errorf("%s: a replica is answered with %v", structure, err)
		}
		if err := admin.ReplicaOf(context.Background(), "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		before := received()
		if got := apply(t, w, entryOf(t, blocks(0, 10), balance{1, 1, 5})); got.Rows != 1 {
			t.Errorf("%s: %+v, want a row", structure, got)
		}
		if received() == before {
			t.Errorf("%s: the connections of before are used again", structure)
		}
	}
}
