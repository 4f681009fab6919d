package delta

import (
	"errors"
	"os"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestAFullDiskIsWaitedFor writes to the device that is always full.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no device that is always full: %v", err)
	}
	g, err := newTarget(config.Delta{Path: "x", TargetFileSize: 1 << 20, Compression: "none"},
		sink.Table{Schema: sinktest.Schema, BlockColumn: 1})
	if err != nil {
		t.Fatal(err)
	}
	g.spool = "/big/spool"
	_, err = g.newFileIn(full, nil)
	const want = "write to the spool folder /big/spool: no space left on device; the disk is full; make room there, or set spool to another folder"
	if fault.Of(err) != fault.ClassLater || err.Error() != want {
		t.Errorf("beginning a file is answered with (%v) %v", fault.Of(err), err)
	}
	if full, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	g.spool = ""
	f, err := g.newFile(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.spool.Close()
	f.spool, f.out.f = full, full
	rec := oneRow(block.Number(7))
	rows, err := g.partitionRows(rec)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := sink.BlocksOf(rows[0].blocks, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(f.add(rows[0].record, blocks), f.flush())
	if fault.Of(err) != fault.ClassLater || err == nil {
		t.Errorf("a full disk is answered with (%v) %v", fault.Of(err), err)
	}
	f.drop()
}
