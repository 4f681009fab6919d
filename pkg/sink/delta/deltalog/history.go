package deltalog

import (
	"context"
	"errors"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Authored is a version of the table and who has made it.
type Authored struct {
	Version int64
	Engine  string // as commitInfo says; empty: it does not
	Changes bool   // the rows of the table
}

// History returns the last n versions up to one, the newest first, as far as their commits
// are still there.
func (l *Log) History(ctx context.Context, newest int64, n int) ([]Authored, error) {
	var all []Authored
	for version := newest; version >= 0 && len(all) < n; version-- {
		actions, err := readCommit(ctx, l.store, version)
		if errors.Is(err, storage.ErrNotFound) {
			break // it was cleaned up
		}
		if err != nil {
			return nil, err
		}
		all = append(all, authored(version, actions))
	}
	return all, nil
}

func authored(version int64, actions []Action) Authored {
	a := Authored{Version: version}
	for _, action := range actions {
		info, ok := action.CommitInfo.(map[string]any)
		if ok {
			a.Engine, _ = info["engineInfo"].(string)
		}
		if (action.Add != nil && action.Add.DataChange) || (action.Remove != nil && action.Remove.DataChange) {
			a.Changes = true
		}
	}
	return a
}
