package delta

import "testing"

// TestCheckpointsAreRarerTheMoreFilesThereAre: a commit takes the same share of a checkpoint
// however many files it lists.
func TestCheckpointsAreRarerTheMoreFilesThereAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ every, files, want int64 }{
		{10, 0, 10}, {10, 500, 10}, {10, 501, 20}, {10, 1000, 20}, {10, 1001, 40}, {10, 100_000, 2560}, {1, 51, 2}, {10_000, 100_000, 10_000},
	} {
		var due []int64
		for version := int64(0); len(due) < 2; version++ {
			if isCheckpoint(version, c.every, c.files) {
				due = append(due, version)
			}
		}
		if due[0] != c.want || due[1] != 2*c.want {
			t.Errorf("every %d versions, %d files: checkpoints at %v, want each %d", c.every, c.files, due, c.want)
		}
	}
	// Files are written one a version: what is listed for a version stays bounded.
	var listed int64
	const versions = 20_000
	for version := range int64(versions) {
		if isCheckpoint(version, 10, version) {
			listed += version
		}
	}
	if most := int64(filesPerVersion); listed > most*versions {
		t.Errorf("%d files were listed in %d versions", listed, versions)
	}
}
