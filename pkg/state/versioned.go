package state

import (
	"bytes"
	"encoding/json"
)

// versioned is how a value is written in a document of a later version of the query.
// Releases that know no versions would read the document with the query that they
// started with, and leave the version out when they write it: they find an object where
// they expect a text, and refuse the document as one of another version of ampipe.
type versioned[T ~string] struct {
	Version int `json:"version"`
	Value   T   `json:"value"`
}

// unversioned reads a value that may be versioned.
func unversioned[T ~string](text []byte) (value T, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		if len(text) > 0 {
			err = json.Unmarshal(text, &value)
		}
		return value, err
	}
	var v versioned[T]
	err = json.Unmarshal(text, &v)
	return v.Value, err
}

type (
	plainSpec      Spec
	plainPartition Partition
)

// MarshalJSON writes the plan, with a versioned query if that was changed.
func (s Spec) MarshalJSON() ([]byte, error) {
	if s.Version == 0 {
		return json.Marshal(plainSpec(s))
	}
	return json.Marshal(struct {
		plainSpec
		Query versioned[string] `json:"query"`
	}{plainSpec(s), versioned[string]{s.Version, s.Query}})
}

// UnmarshalJSON reads what [Spec.MarshalJSON] writes.
func (s *Spec) UnmarshalJSON(text []byte) (err error) {
	var read struct {
		plainSpec
		Query json.RawMessage `json:"query"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*s = Spec(read.plainSpec)
	s.Query, err = unversioned[string](read.Query)
	return err
}

// MarshalJSON writes the partition, with a versioned state if its query was changed.
func (p Partition) MarshalJSON() ([]byte, error) {
	if p.Version == 0 {
		return json.Marshal(plainPartition(p))
	}
	return json.Marshal(struct {
		plainPartition
		State versioned[PartitionState] `json:"state"`
	}{plainPartition(p), versioned[PartitionState]{p.Version, p.State}})
}

// UnmarshalJSON reads what [Partition.MarshalJSON] writes.
func (p *Partition) UnmarshalJSON(text []byte) (err error) {
	var plain plainPartition
	if err := json.Unmarshal(text, &plain); err == nil { // most are of the first version
		*p = Partition(plain)
		return nil
	}
	var read struct {
		plainPartition
		State json.RawMessage `json:"state"`
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*p = Partition(read.plainPartition)
	p.State, err = unversioned[PartitionState](read.State)
	return err
}
