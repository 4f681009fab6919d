package queue_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

var embeddedNeeds = queue.Needs{LogBytes: 64 << 20, Sinks: 1}

// TestCheckFolderSaysWhatTheServerSays compares with the error of the server itself.
func TestCheckFolderSaysWhatTheServerSays(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(dir string) string{
		"below a file": func(dir string) string {
			must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			return filepath.Join(dir, "file", "nats")
		},
		"a file": func(dir string) string {
			must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			return filepath.Join(dir, "file")
		},
		"in use": func(dir string) string {
			mustServer(t, queue.ServerConfig{Dir: dir})
			return dir
		},
		"where nothing can be made": func(string) string { return "/proc/self/nats" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := make(t.TempDir())
			_, checked := queue.CheckFolder(dir, "pipe", embeddedNeeds)
			s, started := queue.StartServer(testContext(t), queue.ServerConfig{Dir: dir})
			if started == nil {
				t.Fatal(s.Close(), "the server has started")
			}
			if checked == nil || fault.Of(checked) != fault.ClassPermanent || !sameBegin(checked, started) {
				t.Errorf("checked: %v\nstarted: %v", checked, started)
			}
		})
	}
}

// sameBegin compares errors up to the name of a folder that was made to try.
func sameBegin(a, b error) bool {
	first, _, _ := strings.Cut(a.Error(), ": ")
	return strings.HasPrefix(b.Error(), first)
}

// TestCheckFolderLeavesNothing looks at folders that are missing and at one that has a
// store, whose logs count.
func TestCheckFolderLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	top := t.TempDir()
	missing := filepath.Join(top, "a", "b")
	bytes, err := queue.CheckFolder(missing, "pipe", embeddedNeeds)
	if left, _ := os.ReadDir(top); err != nil || bytes != embeddedNeeds.LogBytes || len(left) > 0 {
		t.Errorf("%d bytes, %v; left behind: %v", bytes, err, left)
	}
	s, err := queue.StartServer(ctx, queue.ServerConfig{Dir: missing})
	must(t, err)
	c, err := queue.Open(ctx, queue.Config{Server: s})
	must(t, err)
	all := queue.Needs{LogBytes: 1 << 60}
	first, err := c.Log(ctx, "first", queue.LogConfig{MaxBytes: all.LogBytes})
	must(t, err)
	c.Close()
	must(t, s.Close())
	kept, err := queue.CheckFolder(missing, "first", all)
	if moved := first.MaxBytes() / 10; err != nil || kept < first.MaxBytes()-moved || kept > first.MaxBytes()+moved { // others use the disk, too
		t.Errorf("the log that is there has %d bytes, checked %d (%v)", first.MaxBytes(), kept, err)
	}
	second, err := queue.CheckFolder(missing, "second", all)
	if err != nil || second > first.MaxBytes()*6/10 {
		t.Errorf("beside a log of %d bytes another would have %d (%v)", first.MaxBytes(), second, err)
	}
	s, err = queue.StartServer(ctx, queue.ServerConfig{Dir: missing}) // the lock is free
	must(t, err)
	must(t, s.Close())
}
