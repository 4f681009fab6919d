package deltalog

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Action is a line of a commit: exactly one field is set, or none that is known here.
// The fields stand in the order in which a checkpoint has them as columns. Delta: Actions.
type Action struct {
	CommitInfo any       `json:"commitInfo,omitempty"` // [*CommitInfo], if it is ours
	Txn        *Txn      `json:"txn,omitempty"`
	Add        *Add      `json:"add,omitempty"`
	Remove     *Remove   `json:"remove,omitempty"`
	MetaData   *MetaData `json:"metaData,omitempty"`
	Protocol   *Protocol `json:"protocol,omitempty"`
}

// isSet reports whether an action of a checkpoint says anything. Some writers leave the
// columns of other kinds set to empty structs: a path or an id tells them apart.
func (a *Action) isSet() bool {
	return a.Txn != nil && a.Txn.AppID != "" || a.Add != nil && a.Add.Path != "" || a.Remove != nil && a.Remove.Path != "" ||
		a.MetaData != nil && a.MetaData.ID != "" || a.Protocol != nil && a.Protocol.MinReaderVersion > 0
}

// Protocol is what a program has to know to read and to write the table. Delta:
// Protocol Evolution.
type Protocol struct {
	MinReaderVersion int32    `json:"minReaderVersion"`
	MinWriterVersion int32    `json:"minWriterVersion"`
	ReaderFeatures   []string `json:"readerFeatures,omitempty"`
	WriterFeatures   []string `json:"writerFeatures,omitempty"`
}

// Format is of the data files. Delta: Format Specification.
type Format struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

// MetaData is the schema of the table and its properties. Delta: Change Metadata.
type MetaData struct {
	ID               string            `json:"id"`
	Name             string            `json:"name,omitempty"`
	Description      string            `json:"description,omitempty"`
	Format           Format            `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime,omitempty"`
}

// Txn is how far an application is. Delta: Transaction Identifiers.
type Txn struct {
	AppID       string `json:"appId"`
	Version     int64  `json:"version"`
	LastUpdated int64  `json:"lastUpdated,omitempty"`
}

// Add puts a file into the table. Delta: Add File and Remove File.
type Add struct {
	Path             string             `json:"path"` // see [FileName]
	PartitionValues  map[string]*string `json:"partitionValues"`
	Size             int64              `json:"size"`
	ModificationTime int64              `json:"modificationTime"`
	DataChange       bool               `json:"dataChange"`      // false: its rows were in the table before, in other files
	Stats            string             `json:"stats,omitempty"` // see [Stats]
	Tags             map[string]string  `json:"tags,omitempty"`
}

// Remove takes a file out of the table. Delta: Add File and Remove File.
type Remove struct {
	Path                 string             `json:"path"`
	DeletionTimestamp    int64              `json:"deletionTimestamp"` // milliseconds
	DataChange           bool               `json:"dataChange"`
	ExtendedFileMetadata bool               `json:"extendedFileMetadata"`
	PartitionValues      map[string]*string `json:"partitionValues,omitempty"`
	Size                 int64              `json:"size,omitempty"`
	Tags                 map[string]string  `json:"tags,omitempty"`
}

// CommitInfo is what is said about a commit: histories show it. Delta: Commit
// Provenance Information.
type CommitInfo struct {
	Timestamp           int64             `json:"timestamp"`
	Operation           string            `json:"operation"`
	OperationParameters map[string]string `json:"operationParameters"`
	OperationMetrics    map[string]string `json:"operationMetrics,omitempty"`
	ReadVersion         *int64            `json:"readVersion,omitempty"`
	IsBlindAppend       bool              `json:"isBlindAppend"`
	EngineInfo          string            `json:"engineInfo"`
	TxnID               string            `json:"txnId"`
}

// Remove returns the action that takes the file out of the table at a time, in
// milliseconds. dataChange is false if its rows stay, in other files.
func (a *Add) Remove(now int64, dataChange bool) *Remove {
	return &Remove{Path: a.Path, DeletionTimestamp: now, DataChange: dataChange, ExtendedFileMetadata: true,
		PartitionValues: a.PartitionValues, Size: a.Size, Tags: a.Tags}
}

// Stats is what the log says about the rows of a file, as JSON in [Add]. The values of
// a struct are a map again. Delta: Per-file Statistics.
type Stats struct {
	NumRecords *uint64        `json:"numRecords"`
	MinValues  map[string]any `json:"minValues"`
	MaxValues  map[string]any `json:"maxValues"`
	NullCount  map[string]any `json:"nullCount"`
}

// ParseStats returns the statistics, numbers in them as [json.Number]; without any, or
// with some that cannot be read, all of them are missing.
func (a *Add) ParseStats() (s Stats) {
	d := json.NewDecoder(bytes.NewBufferString(a.Stats))
	d.UseNumber()
	if d.Decode(&s) != nil {
		return Stats{}
	}
	return s
}

// encode writes actions as the content of a commit. Delta: Delta Log Entries.
func encode(actions []Action) ([]byte, error) {
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

// decode reads the content of a commit. Actions that are unknown, or of no concern
// here, are empty.
func decode(name string, content []byte) ([]Action, error) {
	var actions []Action
	for i, line := range bytes.Split(content, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var a Action
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fault.Permanent(fmt.Errorf("%s, line %d: not an action of a Delta log: %w", name, i+1, err))
		}
		actions = append(actions, a)
	}
	return actions, nil
}
