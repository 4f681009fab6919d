package pipeline_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAFullDiskEndsTheProcess: the embedded server takes nothing more for a stream that it
// could not write, also when there is room again. So the process ends, with all its pipelines,
// and works when it is started again.
func TestAFullDiskEndsTheProcess(t *testing.T) {
	t.Parallel()
	e := newCommandEnv(t)
	dir := filepath.Join(e.dir, "nats")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=640m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system of its own for this user: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", dir).Run() }) // the folder is removed next
	g := e.grow("--blocks", "50", "--live", "--block-time", "100ms", "--logs-per-block", "2")
	var text []string
	for _, name := range []string{"one", "two"} {
		text = append(text, fmt.Sprintf(`pipeline: %s
source: { amp: %s, query: SELECT * FROM eth_rpc.logs }
range: { reorg_buffer: 10 }
nats: { embedded: ./nats }
log: { max_bytes: 64MiB }
sinks: [ { name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %s, table: %[1]s } } ]
`, name, g.amp, g.schema))
	}
	file := g.file("pipeline.yaml", strings.Join(text, "---\n"))
	p := g.start("ampipe", "run", "-c", file)
	loaded := "SELECT count(*) FROM pg_stat_user_tables WHERE n_live_tup > 0 AND schemaname = '" + g.schema + "'"
	for limit := time.After(time.Minute); g.number(loaded) < 2; {
		select {
		case <-p.exited:
			t.Fatalf("it ended (%v) before it loaded anything\n%s", p.err, p.out)
		case <-limit:
			t.Fatalf("the tables have no rows\n%s", p.out)
		case <-time.After(30 * time.Millisecond):
		}
	}
	filler, err := os.Create(filepath.Join(dir, "fills-the-disk"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(filler, zeros{}) // until there is no space
	_ = filler.Close()
	p.out.waitFor(t, p, regexp.MustCompile(`(no space left on device)`))
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t, 90*time.Second); code != 1 || !strings.Contains(p.out.String(), "is full: make room and start again") {
		t.Fatalf("exit code %d\n%s", code, p.out)
	}
	again := g.start("ampipe", "run", "-c", file)
	head := g.tell("pause", "")
	for _, table := range []string{"one", "two"} {
		g.reach(table, head, again)
	}
}
