package delta

import (
	"maps"
	"slices"
)

// snapshot is a version of the table: what is left when the log is played up to
// it. It is changed only while it is made; a later version is a clone.
type snapshot struct {
	version  int64 // -1: there is no table
	protocol *protocol
	meta     *metaData
	files    map[string]*add
	removed  map[string]*remove // files that are gone, for checkpoints
	txns     map[string]txn     // by appId
}

func emptySnapshot() *snapshot {
	return &snapshot{version: -1, files: map[string]*add{}, removed: map[string]*remove{}, txns: map[string]txn{}}
}

// clone gives a snapshot that can be played on.
func (s *snapshot) clone() *snapshot {
	c := *s
	c.files, c.removed, c.txns = maps.Clone(s.files), maps.Clone(s.removed), maps.Clone(s.txns)
	return &c
}

// play applies the actions of a commit.
func (s *snapshot) play(version int64, actions []action) {
	s.version = version
	for _, a := range actions {
		switch {
		case a.Protocol != nil:
			s.protocol = a.Protocol
		case a.MetaData != nil:
			s.meta = a.MetaData
		case a.Txn != nil:
			s.txns[a.Txn.AppID] = *a.Txn
		case a.Add != nil:
			delete(s.removed, a.Add.Path)
			s.files[a.Add.Path] = a.Add
		case a.Remove != nil:
			delete(s.files, a.Remove.Path)
			s.removed[a.Remove.Path] = a.Remove
		}
	}
}

// check tells whether we can work with the table.
func (s *snapshot) check() error {
	if s.protocol == nil || s.meta == nil {
		return errIncomplete
	}
	if err := s.protocol.check(); err != nil {
		return err
	}
	return s.meta.check()
}

// paths gives the names of the files in order.
func (s *snapshot) paths() []string { return slices.Sorted(maps.Keys(s.files)) }
