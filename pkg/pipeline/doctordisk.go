package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// folder is one that a pipeline keeps things in.
type folder struct {
	key  string // of the configuration
	path string
	busy bool // each acknowledgement waits for its disk
}

// volume is the file system that a folder is in.
type volume struct {
	kind        int64 // as statfs has it
	free, total uint64
	sync        time.Duration // that writing and syncing a page takes, in the middle
}

// The kinds of file systems that need care, as Linux numbers them; no other system has
// these numbers.
const (
	tmpFS     = 0x01021994
	ramFS     = 0x858458f6
	overlayFS = 0x794c7630
	nfsFS     = 0x6969
	smbFS     = 0xfe534d42
	cifsFS    = 0xff534d42
)

const (
	fullShare = 10                    // percent of a disk that has to be free,
	fullSize  = 50 << 30              // unless there are so many bytes
	slowSync  = 20 * time.Millisecond // of a disk that each acknowledgement waits for
	syncs     = 5                     // that are measured
)

// foldersOf returns the folders of a pipeline.
func foldersOf(p *config.Pipeline) (all []folder) {
	if p.NATS.Embedded != "" {
		all = append(all, folder{key: "nats.embedded", path: p.NATS.Embedded, busy: true})
	}
	for _, s := range p.Sinks {
		if s.Delta != nil && s.Delta.Path != "" {
			all = append(all, folder{key: "delta.path of the sink " + s.Name, path: s.Delta.Path})
		}
	}
	return all
}

// examineDisks looks at the disks of the folders.
func (c *checkup) examineDisks(p *config.Pipeline) {
	for _, f := range foldersOf(p) {
		v, err := volumeOf(f)
		if err != nil {
			c.add(partDisk, sink.Finding{
				Kind: sink.Unseen, Text: fmt.Sprintf("the disk of %s was not looked at: %v", f.key, err),
			})
			continue
		}
		c.add(partDisk, volumeFindings(f, v)...)
	}
}

// volumeOf asks about the file system of a folder, or of the nearest one above it that
// exists. Only where it matters a file is written and removed.
func volumeOf(f folder) (v volume, err error) {
	at, err := filepath.Abs(f.path)
	if err != nil {
		return v, err
	}
	for {
		_, err = os.Stat(at)
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	if err != nil {
		return v, err
	}
	var disk unix.Statfs_t
	err = unix.Statfs(at, &disk)
	if err != nil {
		return v, &fs.PathError{Op: "statfs", Path: at, Err: err}
	}
	size := uint64(disk.Bsize)
	v = volume{kind: int64(disk.Type), free: disk.Bavail * size, total: disk.Blocks * size}
	if f.busy {
		v.sync, err = timeOfSync(at)
	}
	return v, err
}

// timeOfSync measures how long a page takes to the disk of a folder.
func timeOfSync(dir string) (_ time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".ampipe-doctor-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	var took [syncs]time.Duration
	page := make([]byte, 4096)
	for i := range took {
		began := time.Now()
		_, err = file.Write(page)
		if err == nil {
			err = file.Sync()
		}
		if err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took[:])
	return took[syncs/2], nil
}

// volumeFindings judges the file system of a folder.
func volumeFindings(f folder, v volume) (all []sink.Finding) {
	subject := fmt.Sprintf("the folder %s (%s) ", f.path, f.key)
	found := func(kind sink.FindingKind, text, fix string) {
		all = append(all, sink.Finding{Kind: kind, Text: subject + text, Fix: fix})
	}
	switch v.kind {
	case tmpFS, ramFS:
		found(sink.Safety, "is in memory: a restart of the machine empties it", "name a folder on a disk")
	case overlayFS:
		found(sink.Safety, "is in the file system of a container, and is gone with it", "mount a volume there")
	case nfsFS, smbFS, cifsFS:
		if f.busy {
			found(sink.Safety, "is on a network share, where locks and syncs are what the share makes of them", "name a folder on a local disk")
		}
	}
	if v.total > 0 && v.free < min(v.total/100*fullShare, fullSize) {
		found(sink.Safety, fmt.Sprintf("is on a disk that has %s of %s left", queue.Size(int64(v.free)), queue.Size(int64(v.total))),
			"make room, or name a folder on another disk")
	}
	if v.sync > slowSync {
		found(sink.Speed, fmt.Sprintf("is on a disk that takes %v to sync a page, and each entry of the log waits for that",
			v.sync.Round(time.Millisecond)), "name a folder on a faster disk, best one with its own SSD")
	}
	return all
}
