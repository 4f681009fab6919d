package delta

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

const (
	logFolder      = "_delta_log/"
	lastCheckpoint = logFolder + "_last_checkpoint"
)

var (
	commitName     = regexp.MustCompile(`^_delta_log/([0-9]{20})\.json$`)
	checkpointName = regexp.MustCompile(`^_delta_log/([0-9]{20})\.checkpoint(?:\.([0-9]{10})\.([0-9]{10}))?\.parquet$`)

	errConflict   = errors.New("another writer has made this version of the table")
	errIncomplete = fault.Permanent(errors.New("the table's log has no protocol or no metadata; it is damaged: restore it from " +
		"a backup, or load into another table"))
)

func commitPath(version int64) string { return fmt.Sprintf("%s%020d.json", logFolder, version) }

// tableLog reads and writes the log of a table. It is safe for concurrent use.
type tableLog struct {
	store storage.Store

	now func() time.Time // nil: the clock

	mu     sync.Mutex
	latest *snapshot // the newest version seen; nil: none yet
}

func (l *tableLog) clock() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

// refresh returns the newest version of the table. It keeps what it has seen, and
// reads only what is new.
func (l *tableLog) refresh(ctx context.Context) (*snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil || l.latest.version < 0 {
		s, err := load(ctx, l.store, l.clock())
		if err != nil {
			return nil, err
		}
		l.latest = s
		return s, nil
	}
	s, err := follow(ctx, l.store, l.latest, l.clock())
	if err != nil {
		return nil, err
	}
	l.latest = s
	return s, nil
}

// follow plays the commits after s; now is for tombstones that are too old.
func follow(ctx context.Context, store storage.Store, s *snapshot, now time.Time) (*snapshot, error) {
	next := s
	for {
		name := commitPath(next.version + 1)
		content, err := store.Read(ctx, name)
		if errors.Is(err, storage.ErrNotFound) {
			if next == s {
				return s, nil
			}
			next.prune(now)
			return next, next.check()
		}
		if err != nil {
			return nil, err
		}
		actions, err := read(name, content)
		if err != nil {
			return nil, err
		}
		if next == s {
			next = s.clone()
		}
		next.play(next.version+1, actions)
	}
}

// load reads the newest version of the table, from the last checkpoint and the
// commits after it; now is for tombstones that are too old.
func load(ctx context.Context, store storage.Store, now time.Time) (*snapshot, error) {
	hint := readHint(ctx, store)
	after := logFolder
	if hint >= 0 {
		after = fmt.Sprintf("%s%020d.", logFolder, hint)
	}
	have, err := listLog(ctx, store, after)
	if err != nil {
		return nil, err
	}
	if hint >= 0 && len(have.checkpoint) == 0 { // the hint is wrong
		if have, err = listLog(ctx, store, logFolder); err != nil {
			return nil, err
		}
	}
	s := emptySnapshot()
	if len(have.checkpoint) > 0 {
		if s, err = readCheckpoint(ctx, store, have.version, have.checkpoint); err != nil {
			return nil, err
		}
	}
	for _, version := range have.commits {
		if version <= s.version {
			continue
		}
		if version != s.version+1 {
			return nil, fault.Permanent(fmt.Errorf("version %d is missing in the table's log; the folder %s is damaged: restore it "+
				"from a backup, or load into another table", s.version+1, logFolder))
		}
		content, err := store.Read(ctx, commitPath(version))
		if err != nil {
			return nil, err
		}
		actions, err := read(commitPath(version), content)
		if err != nil {
			return nil, err
		}
		s.play(version, actions)
	}
	if s.version < 0 {
		return s, nil
	}
	s.prune(now)
	return s, s.check()
}

// listing is what the folder of the log holds.
type listing struct {
	version    int64    // of checkpoint
	checkpoint []string // the files of the newest complete one
	commits    []int64  // ascending
}

func listLog(ctx context.Context, store storage.Store, after string) (listing, error) {
	have := listing{version: -1}
	parts := map[string][]string{} // of each checkpoint
	err := store.List(ctx, logFolder, after, func(i storage.Info) error {
		if m := commitName.FindStringSubmatch(i.Name); m != nil {
			if v, err := strconv.ParseInt(m[1], 10, 64); err == nil {
				have.commits = append(have.commits, v)
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
// hint only: whatever is wrong with it, the folder tells the truth.
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

// commit makes actions the version after s, or fails with [errConflict] if there
// is one by now. After another error nobody knows whether it was made, and what
// the actions refer to has to stay.
func (l *tableLog) commit(ctx context.Context, s *snapshot, actions []action) (*snapshot, error) {
	version := s.version + 1
	content, err := write(actions)
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
			return nil, errConflict
		}
	} else if err != nil {
		return nil, err
	}
	next := s.clone()
	next.play(version, actions)
	next.prune(l.clock())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest == nil || l.latest.version < version {
		l.latest = next
	}
	return next, nil
}
