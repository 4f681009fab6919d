package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Rows hashes the rows of a record by their values alone: however the row is laid out and
// wherever it stands, its hash is the same for ever. It borrows the record.
type Rows struct{ values []arrowfmt.Append }

// RowsOf binds to a record.
func RowsOf(rec arrow.RecordBatch) Rows {
	values := make([]arrowfmt.Append, rec.NumCols())
	for i, column := range rec.Columns() {
		values[i] = arrowfmt.Options(0).JSON(column)
	}
	return Rows{values}
}

// Content returns the hash of row i, 32 hex digits: the first half of the SHA-256 of its
// values as a JSON array. Nobody can make two rows with the same one.
func (r Rows) Content(i int) string {
	text := []byte{'['}
	for c, value := range r.values {
		if c > 0 {
			text = append(text, ',')
		}
		text = value(text, i)
	}
	sum := sha256.Sum256(append(text, ']'))
	return hex.EncodeToString(sum[:len(sum)/2])
}

// IDs assigns ids to the rows of one block, in the order in which they come: the hash
// of the row and how many equal ones came before it.
type IDs struct {
	part string         // of a block that is split
	seen map[string]int // by content
}

// NewIDs returns the ids of a block. Of a block that is split into parts, the rows of each
// part have ids of their own.
func NewIDs(part, parts int) *IDs {
	ids := &IDs{seen: make(map[string]int)}
	if parts > 0 {
		ids.part = fmt.Sprintf("-%d", part)
	}
	return ids
}

// Next returns the id of the next row.
func (s *IDs) Next(content string) string {
	n := s.seen[content]
	s.seen[content] = n + 1
	return fmt.Sprintf("%s-%d%s", content, n, s.part)
}

// ContentOf returns the hash of the row that has an id.
func ContentOf(id string) string {
	content, _, _ := strings.Cut(id, "-")
	return content
}
