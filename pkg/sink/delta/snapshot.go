package delta

import "maps"

// snapshot is a version of the table: what is left when the log is played up to
// it. It is changed only while it is made; a later version is a clone.
type snapshot struct {
	version  int64 // -1: there is no table
	protocol *protocol
	meta     *metaData
	files    tree[*add]     // by path
	removed  tree[*remove]  // by path: files that are gone, for checkpoints and vacuum
	buried   int            // of removed, since prune looked through them
	txns     map[string]txn // by appId
}

func emptySnapshot() *snapshot {
	return &snapshot{version: -1, txns: map[string]txn{}}
}

// clone returns a snapshot that can be played on.
func (s *snapshot) clone() *snapshot {
	c := *s
	c.txns = maps.Clone(s.txns) // a few words per hole in the coverage
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
			s.removed = s.removed.without(a.Add.Path)
			s.files = s.files.with(a.Add.Path, a.Add)
		case a.Remove != nil:
			s.files = s.files.without(a.Remove.Path)
			s.bury(a.Remove)
		}
	}
}

// bury keeps a tombstone.
func (s *snapshot) bury(r *remove) {
	s.removed = s.removed.with(r.Path, r)
	s.buried++
}

// check reports whether we can work with the table.
func (s *snapshot) check() error {
	if s.protocol == nil || s.meta == nil {
		return errIncomplete
	}
	if err := s.protocol.check(); err != nil {
		return err
	}
	return s.meta.check()
}
