package queue

import (
	"path/filepath"
	"testing"
)

// testLog returns the empty log of a server in this process, in a folder of its own.
func testLog(t *testing.T, o ServerConfig, cfg Config) *Log {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "store")
	server, err := StartServer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg.Server = server
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l, err := c.Log(t.Context(), "pipe", LogConfig{MaxBytes: leastLog})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
