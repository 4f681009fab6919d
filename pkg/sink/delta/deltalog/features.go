package deltalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// knownFeatures are the writer features that we keep by what we do anyway: rows
// are only added unless the table allows more, and invariants we refuse. Delta: Valid
// Feature Names in Table Features.
var knownFeatures = []string{"appendOnly", "invariants"}

var errIncomplete = fault.Permanent(errors.New("the table's log has no protocol or no metadata; it is damaged: restore it from " +
	"a backup, or load into another table"))

// check reports whether we can work with the table.
func (s *Snapshot) check() error {
	if s.Protocol == nil || s.MetaData == nil {
		return errIncomplete
	}
	if err := s.Protocol.check(); err != nil {
		return err
	}
	return s.MetaData.check()
}

// check reports whether we can read and write a table of this protocol.
func (p *Protocol) check() error {
	var unknown []string
	for _, f := range slices.Concat(p.ReaderFeatures, p.WriterFeatures) {
		if !slices.Contains(knownFeatures, f) && !slices.Contains(unknown, f) {
			unknown = append(unknown, f)
		}
	}
	switch {
	case len(unknown) > 0:
		return fault.Permanent(fmt.Errorf("the table uses the Delta features %s, which ampipe does not know; "+
			"load into a table without them", strings.Join(unknown, ", ")))
	case p.MinReaderVersion > 1 && p.MinReaderVersion != 3, p.MinWriterVersion > 2 && p.MinWriterVersion != 7:
		return fault.Permanent(fmt.Errorf("the table needs reader version %d and writer version %d of the Delta protocol, "+
			"and ampipe keeps 1 and 2; load into a table without column mapping, constraints, generated columns and change data feed",
			p.MinReaderVersion, p.MinWriterVersion))
	}
	return nil
}

// check reports whether the properties of a table let us do our work.
func (m *MetaData) check() error {
	if m.Format.Provider != "" && m.Format.Provider != "parquet" {
		return fault.Permanent(fmt.Errorf("the table's files are of the format %q, and ampipe writes parquet", m.Format.Provider))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Configuration)) {
		switch value := m.Configuration[key]; {
		case key == "delta.appendOnly" && strings.EqualFold(value, "true"):
			return fault.Permanent(fmt.Errorf("the table has %s, and a reorg has to take rows away; set it to false", key))
		case key == "delta.setTransactionRetentionDuration":
			return fault.Permanent(fmt.Errorf("the table has %s, which lets what ampipe knows of it expire; unset it", key))
		}
	}
	return nil
}
