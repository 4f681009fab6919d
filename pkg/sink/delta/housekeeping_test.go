package delta_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

func TestCompactJoinsSmallFiles(t *testing.T) {
	places(t, func(t *testing.T, d *table) {
		p := deltalake(t, d)
		w := d.open(t, suiteTable())
		s := &teller{t: t, w: w}
		for n := block.Number(0); n < 120; n += 10 {
			s.history(n, n+10)
		}
		s.liveData(120, 130, 1)
		other := d.writer()
		if err := other.OpenStored(t.Context(), suiteTable()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		if dry, err := other.Compact(t.Context(), true); err != nil || dry.Before != 13 || dry.After != 0 || p.number("files") != 13 {
			t.Errorf("a dry run says %+v (%v) and leaves %d files", dry, err, p.number("files"))
		}
		done, err := other.Compact(t.Context(), false)
		if err != nil || done.Before != 13 || done.After != 1 {
			t.Errorf("compact did %+v, %v", done, err)
		}
		if n := p.number("files"); n != 1 {
			t.Errorf("%d files are left", n)
		}
		if again, err := other.Compact(t.Context(), false); err != nil || again.Before != 0 {
			t.Errorf("compact again did %+v, %v", again, err)
		}
		s.invalidate(77, 129) // cuts through the joined file
		s.liveData(77, 90, 2)
		want := sorted(s.want)
		if got := p.rows(); !slices.Equal(got, want) {
			t.Errorf("delta-rs reads %d rows, want %d", len(got), len(want))
		}
		if err := delta.Scan(t.Context(), d.store, -1, nil); err != nil {
			t.Error(err)
		}
		state, err := w.State(t.Context())
		if err != nil || !state.Coverage.Equal(block.NewSet(block.Range{End: 90})) {
			t.Errorf("state is %+v, %v", state, err)
		}
		for _, retention := range []time.Duration{time.Minute, 1000 * time.Hour} {
			if _, err := other.Vacuum(t.Context(), retention, false, time.Now()); fault.Of(err) != fault.ClassPermanent {
				t.Errorf("a retention of %v: %v", retention, err)
			}
		}
		if none, err := other.Vacuum(t.Context(), time.Hour, false, time.Now()); err != nil || none.Files != 0 {
			t.Errorf("vacuum removed files that are needed: %+v, %v", none, err)
		}
		later := time.Now().Add(2 * time.Hour)
		dry, err := other.Vacuum(t.Context(), time.Hour, true, later)
		if err != nil || dry.Files != 14 || len(dry.Names) != 14 {
			t.Errorf("a dry run would remove %+v, %v", dry, err)
		}
		gone, err := other.Vacuum(t.Context(), time.Hour, false, later)
		if err != nil || gone.Files != 14 {
			t.Errorf("vacuum removed %+v, %v", gone, err)
		}
		if got := p.rows(); !slices.Equal(got, want) {
			t.Errorf("after vacuum delta-rs reads %d rows, want %d", len(got), len(want))
		}
	})
}

// TestVacuumLeavesOthersAlone has files beside the table's.
func TestVacuumLeavesOthersAlone(t *testing.T) {
	d := inFolder(t)
	w := d.open(t, suiteTable())
	s := &teller{t: t, w: w}
	s.history(0, 10)
	for _, name := range []string{"_ampipe/x", "_change_data/x.parquet", ".hidden", "orphan.parquet", ".ampipe-left", "_delta_log/.ampipe-left"} {
		path := filepath.Join(d.cfg.Path, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	done, err := w.Vacuum(t.Context(), time.Hour, false, time.Now().Add(3*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(done.Names)
	if got := strings.Join(done.Names, " "); got != ".ampipe-left _delta_log/.ampipe-left orphan.parquet" {
		t.Errorf("vacuum removed %s", got)
	}
}
