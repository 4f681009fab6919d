package redis_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// private starts a server of its own, on a port if told so, and stops it at the
// end.
func private(t testing.TB, args ...string) (url string) {
	t.Helper()
	url, _ = startServer(t, args...)
	return url
}

// startServer is private with a way to kill the server before the end.
func startServer(t testing.TB, args ...string) (url string, stop func()) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if bin, err = exec.LookPath("valkey-server"); err != nil {
			t.Skip("no redis-server is installed here; scripts/redis installs one")
		}
	}
	dir := t.TempDir()
	port := strconv.Itoa(sinktest.FreePort(t))
	base := []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--logfile", filepath.Join(dir, "log")}
	cmd := exec.Command(bin, append(base, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	client := driver.NewClient(&driver.Options{Addr: "127.0.0.1:" + port, MaxRetries: 100, MaxRetryBackoff: 100 * time.Millisecond})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil && !strings.Contains(err.Error(), "NOAUTH") {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("the private server does not answer: %v\n%s", err, log)
	}
	return "redis://127.0.0.1:" + port, stop
}

func tcp(t testing.TB) string { return private(t) }

// webServer answers everything with a page.
func webServer(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}
