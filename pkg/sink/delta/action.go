package delta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// The actions of the protocol, as they stand in the log: one JSON object a line.

// action is one line; exactly one field of it is set, or none that we know.
type action struct {
	CommitInfo json.RawMessage `json:"commitInfo,omitempty"`
	Protocol   *protocol       `json:"protocol,omitempty"`
	MetaData   *metaData       `json:"metaData,omitempty"`
	Txn        *txn            `json:"txn,omitempty"`
	Add        *add            `json:"add,omitempty"`
	Remove     *remove         `json:"remove,omitempty"`
}

type protocol struct {
	MinReaderVersion int      `json:"minReaderVersion"`
	MinWriterVersion int      `json:"minWriterVersion"`
	ReaderFeatures   []string `json:"readerFeatures,omitempty"`
	WriterFeatures   []string `json:"writerFeatures,omitempty"`
}

type format struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

type metaData struct {
	ID               string            `json:"id"`
	Name             string            `json:"name,omitempty"`
	Description      string            `json:"description,omitempty"`
	Format           format            `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime,omitempty"`
}

type txn struct {
	AppID       string `json:"appId"`
	Version     int64  `json:"version"`
	LastUpdated int64  `json:"lastUpdated,omitempty"`
}

type add struct {
	Path             string             `json:"path"`
	PartitionValues  map[string]*string `json:"partitionValues"`
	Size             int64              `json:"size"`
	ModificationTime int64              `json:"modificationTime"`
	DataChange       bool               `json:"dataChange"`
	Stats            string             `json:"stats,omitempty"`
	Tags             map[string]string  `json:"tags,omitempty"`
	DeletionVector   json.RawMessage    `json:"deletionVector,omitempty"`
}

type remove struct {
	Path                 string             `json:"path"`
	DeletionTimestamp    int64              `json:"deletionTimestamp"`
	DataChange           bool               `json:"dataChange"`
	ExtendedFileMetadata bool               `json:"extendedFileMetadata"`
	PartitionValues      map[string]*string `json:"partitionValues,omitempty"`
	Size                 int64              `json:"size,omitempty"`
	Tags                 map[string]string  `json:"tags,omitempty"`
}

// commitInfo is what we say about a commit: history shows it.
type commitInfo struct {
	Timestamp           int64             `json:"timestamp"`
	Operation           string            `json:"operation"`
	OperationParameters map[string]string `json:"operationParameters"`
	OperationMetrics    map[string]string `json:"operationMetrics,omitempty"`
	ReadVersion         *int64            `json:"readVersion,omitempty"`
	IsBlindAppend       bool              `json:"isBlindAppend"`
	EngineInfo          string            `json:"engineInfo"`
	TxnID               string            `json:"txnId"`
}

// remove returns the action that takes the file out of the table at a time, in
// milliseconds. dataChange is false if its rows stay, in other files.
func (a *add) remove(now int64, dataChange bool) *remove {
	return &remove{Path: a.Path, DeletionTimestamp: now, DataChange: dataChange, ExtendedFileMetadata: true,
		PartitionValues: a.PartitionValues, Size: a.Size, Tags: a.Tags}
}

// rearranged returns the same file as one whose rows were in the table before.
func (a *add) rearranged() *add {
	b := *a
	b.DataChange = false
	return &b
}

// write writes actions as the content of a log file.
func write(actions []action) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, a := range actions {
		if err := e.Encode(a); err != nil {
			return nil, fmt.Errorf("write a log entry: %w", err)
		}
	}
	return b.Bytes(), nil
}

// read reads the content of a log file. Actions that are unknown, or of no
// concern to us, are empty.
func read(name string, content []byte) ([]action, error) {
	var actions []action
	for i, line := range bytes.Split(content, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var a action
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fault.Permanent(fmt.Errorf("%s, line %d: not an action of a Delta log: %w", name, i+1, err))
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// knownFeatures are the writer features that we keep by what we do anyway: rows
// are only added unless the table allows more, and invariants we refuse.
var knownFeatures = []string{"appendOnly", "invariants"}

// check reports whether we can read and write a table of this protocol.
func (p *protocol) check() error {
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
func (m *metaData) check() error {
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
