package redis_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// TestExamine asks a real server, and one that is not there.
func TestExamine(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config(config.Hash, s.name+":{n}")
	found, err := redis.New(cfg).Examine(t.Context(), sink.Table{})
	if err != nil {
		t.Fatal(err)
	}
	limited := s.Info(t.Context(), "memory").Val()
	n := 0
	for _, f := range found {
		if strings.HasPrefix(f.Text, "the server has no maxmemory") {
			n++
		}
	}
	if strings.Contains(limited, "\r\nmaxmemory:0\r\n") != (n == 1) {
		t.Errorf("%d findings about maxmemory: %+v", n, found)
	}
	cfg.URL = "redis://127.0.0.1:1"
	if found, err = redis.New(cfg).Examine(t.Context(), sink.Table{}); err == nil {
		t.Errorf("of no server: %+v", found)
	}
}

// TestExamineACluster whose masters have no replicas.
func TestExamineACluster(t *testing.T) {
	t.Parallel()
	s := newCluster(t)
	found, err := redis.New(s.config(config.Hash, s.name+":{n}")).Examine(t.Context(), sink.Table{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range found {
		if strings.HasPrefix(f.Text, "masters of the Cluster have no replica") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("found %+v", found)
	}
}
