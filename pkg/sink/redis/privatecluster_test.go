package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// node is a node of a Cluster that the test has made.
type node struct {
	*driver.Client
	addr, id string
	stop     func()
}

var soon = fault.Backoff{Attempts: 300, Min: 20 * time.Millisecond, Max: 100 * time.Millisecond}

// privateCluster starts a Cluster of three masters, and replicas of the first.
func privateCluster(t testing.TB, replicas int) (*server, []*node) {
	t.Helper()
	const masters = 3
	members := make([]*node, masters+replicas)
	buses := make([]string, len(members))
	for i := range members {
		buses[i] = strconv.Itoa(sinktest.FreePort(t))
		url, stop := startServer(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", buses[i], "--cluster-node-timeout", "2000",
			"--repl-diskless-sync-delay", "0")
		client := connected(t, url)
		m := &node{Client: client, addr: client.Options().Addr, stop: stop}
		members[i] = m
		var err error
		if m.id, err = m.Do(t.Context(), "CLUSTER", "MYID").Text(); err != nil {
			t.Fatal(err)
		}
		m.must(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			m.must(t, "CLUSTER", "ADDSLOTSRANGE", 16384*i/masters, 16384*(i+1)/masters-1)
		}
	}
	for i, m := range members[1:] {
		_, port, _ := net.SplitHostPort(m.addr)
		members[0].must(t, "CLUSTER", "MEET", "127.0.0.1", port, buses[i+1])
	}
	joined := func(ctx context.Context, m *node) error {
		info, err := m.ClusterInfo(ctx).Result()
		if err == nil && !(strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(members)))) {
			err = errors.New("the cluster is not ready")
		}
		return err
	}
	for _, m := range members {
		if err := fault.Retry(t.Context(), soon, func(ctx context.Context) error { return joined(ctx, m) }, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members[masters:] {
		m.must(t, "CLUSTER", "REPLICATE", members[0].id)
	}
	return clusterAt(t, "redis://"+members[0].addr+"?addr="+members[1].addr+"&addr="+members[2].addr), members
}

func (m *node) must(t testing.TB, command ...any) {
	t.Helper()
	if err := m.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// slotIn returns an address whose key is of a slot of a third of the Cluster, and not
// of that of the coordinator.
func slotIn(t testing.TB, s *server, third int, first byte) (byte, int64) {
	t.Helper()
	home := s.ClusterKeySlot(t.Context(), "{"+s.name+"}").Val()
	for a := first; a < 255; a++ {
		slot := s.ClusterKeySlot(t.Context(), fmt.Sprintf("%s:0xab%02x", s.name, a)).Val()
		if slot*3/16384 == int64(third) && slot != home {
			return a, slot
		}
	}
	t.Fatal("no key is of that third")
	return 0, 0
}
