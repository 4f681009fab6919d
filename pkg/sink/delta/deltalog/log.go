package deltalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Folder holds the log. Delta: File Types.
const Folder = "_delta_log/"

const lastCheckpoint = Folder + "_last_checkpoint"

// ErrConflict says that another writer has made this version of the table.
var ErrConflict = errors.New("another writer has made this version of the table")

var (
	commitName     = regexp.MustCompile(`^_delta_log/([0-9]{20})\.json$`)
	checkpointName = regexp.MustCompile(`^_delta_log/([0-9]{20})\.checkpoint(?:\.([0-9]{10})\.([0-9]{10}))?\.parquet$`)
)

func commitPath(version int64) string { return fmt.Sprintf("%s%020d.json", Folder, version) }

// Log reads and writes the log of a table. It is safe for concurrent use.
type Log struct {
	store storage.Store
	now   func() time.Time

	mu     sync.Mutex
	latest *Snapshot // the newest version seen; nil: none yet
}

// New returns the log of the table in store. It reads nothing yet.
func New(store storage.Store) *Log { return &Log{store: store, now: time.Now} }

// Refresh returns the newest version of the table. It keeps what it has seen, and
// reads only what is new. A table that we cannot work with is a permanent error.
func (l *Log) Refresh(ctx context.Context) (*Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.latest, error(nil)
	if s == nil || s.Version < 0 {
		s, err = load(ctx, l.store)
	} else {
		s, err = follow(ctx, l.store, s)
	}
	if err != nil {
		return nil, err
	}
	if s != l.latest && s.Version >= 0 {
		s.prune(l.now())
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	l.latest = s
	return s, nil
}

// follow plays the commits after s.
func follow(ctx context.Context, store storage.Store, s *Snapshot) (*Snapshot, error) {
	for next := s; ; {
		actions, err := readCommit(ctx, store, next.Version+1)
		if errors.Is(err, storage.ErrNotFound) {
			return next, nil
		}
		if err != nil {
			return nil, err
		}
		if next == s {
			next = s.clone()
		}
		next.play(next.Version+1, actions)
	}
}

// readCommit reads the commit of a version.
func readCommit(ctx context.Context, store storage.Store, version int64) ([]Action, error) {
	name := commitPath(version)
	content, err := store.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	return decode(name, content)
}

// load reads the newest version of the table, from the last checkpoint and the
// commits after it.
func load(ctx context.Context, store storage.Store) (*Snapshot, error) {
	hint := readHint(ctx, store)
	after := Folder
	if hint >= 0 {
		after = fmt.Sprintf("%s%020d.", Folder, hint)
	}
	have, err := listLog(ctx, store, after)
	if err != nil {
		return nil, err
	}
	if hint >= 0 && len(have.checkpoint) == 0 { // the hint is wrong
		if have, err = listLog(ctx, store, Folder); err != nil {
			return nil, err
		}
	}
	s := emptySnapshot()
	if len(have.checkpoint) > 0 {
		if s, err = readCheckpoint(ctx, store, have.version, have.checkpoint); err != nil {
			return nil, err
		}
	}
	if have.newest <= s.Version {
		return s, nil
	}
	if s, err = follow(ctx, store, s); err == nil && s.Version < have.newest {
		err = fault.Permanent(fmt.Errorf("version %d is missing in the table's log; the folder %s is damaged: restore it "+
			"from a backup, or load into another table", s.Version+1, Folder))
	}
	return s, err
}

// listing is what the folder of the log holds.
type listing struct {
	newest     int64    // of the commits; -1: there is none
	version    int64    // of checkpoint
	checkpoint []string // the files of the newest complete one
}

func listLog(ctx context.Context, store storage.Store, after string) (listing, error) {
	have := listing{newest: -1, version: -1}
	parts := map[string][]string{} // of each checkpoint
	err := store.List(ctx, Folder, after, func(i storage.Info) error {
		if m := commitName.FindStringSubmatch(i.Name); m != nil {
			if v, err := strconv.ParseInt(m[1], 10, 64); err == nil {
				have.newest = v
			}
		}
		m := checkpointName.FindStringSubmatch(i.Name)
		if m == nil {
			return nil
		}
		v, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return nil
		}
		of := m[1] + "/" + m[3]
		parts[of] = append(parts[of], i.Name)
		if want, _ := strconv.Atoi(m[3]); v >= have.version && len(parts[of]) == max(want, 1) {
			have.version, have.checkpoint = v, parts[of]
		}
		return nil
	})
	return have, err
}

// readHint returns the version of the last checkpoint, -1 if nobody says. It is a
// hint only: whatever is wrong with it, the folder tells the truth. Delta: Last
// Checkpoint File.
func readHint(ctx context.Context, store storage.Store) int64 {
	content, err := store.Read(ctx, lastCheckpoint)
	if err != nil {
		return -1
	}
	var hint struct {
		Version *int64 `json:"version"`
	}
	if json.Unmarshal(content, &hint) != nil || hint.Version == nil {
		return -1
	}
	return *hint.Version
}

// Commit makes actions the version after s, or fails with [ErrConflict] if there
// is one by now. After another error nobody knows whether it was made, and what
// the actions refer to has to stay. Delta: Delta Log Entries.
func (l *Log) Commit(ctx context.Context, s *Snapshot, actions []Action) (*Snapshot, error) {
	version := s.Version + 1
	content, err := encode(actions)
	if err != nil {
		return nil, err
	}
	err = l.store.Create(ctx, commitPath(version), content)
	if errors.Is(err, storage.ErrExists) {
		// A repeated request may have met its own first try.
		there, err := l.store.Read(ctx, commitPath(version))
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(there, content) {
			return nil, ErrConflict
		}
	} else if err != nil {
		return nil, err
	}
	next := s.clone()
	next.play(version, actions)
	next.prune(l.now())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil || l.latest.Version < version {
		l.latest = next
	}
	return next, nil
}
