package deltalog

import "maps"

// Snapshot is a version of the table: what is left when the log is played up to it.
// It is not changed after it was made. Delta: Action Reconciliation.
type Snapshot struct {
	Version  int64 // -1: there is no table
	Protocol *Protocol
	MetaData *MetaData
	Files    Tree[*Add]     // by path
	Removed  Tree[*Remove]  // by path: files that are gone, for checkpoints and vacuum
	Txns     map[string]Txn // by appId

	buried int // of Removed, since prune looked through them
}

func emptySnapshot() *Snapshot {
	return &Snapshot{Version: -1, Txns: map[string]Txn{}}
}

// clone returns a snapshot that can be played on.
func (s *Snapshot) clone() *Snapshot {
	c := *s
	c.Txns = maps.Clone(s.Txns) // a few words per hole in the coverage
	return &c
}

// play applies the actions of a commit.
func (s *Snapshot) play(version int64, actions []Action) {
	s.Version = version
	for _, a := range actions {
		if a.Add != nil {
			s.Removed = s.Removed.without(a.Add.Path)
		}
		if a.Remove != nil {
			s.Files = s.Files.without(a.Remove.Path)
		}
		s.put(a)
	}
}

// put keeps what an action says.
func (s *Snapshot) put(a Action) {
	switch {
	case a.Protocol != nil:
		s.Protocol = a.Protocol
	case a.MetaData != nil:
		s.MetaData = a.MetaData
	case a.Txn != nil:
		s.Txns[a.Txn.AppID] = *a.Txn
	case a.Add != nil:
		s.Files = s.Files.with(a.Add.Path, a.Add)
	case a.Remove != nil:
		s.Removed = s.Removed.with(a.Remove.Path, a.Remove)
		s.buried++
	}
}
