package arrowguard

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	flatbuffers "github.com/google/flatbuffers/go"
)

// Limits of a schema.
const (
	maxDepth   = 64       // of nested types
	maxFields  = 1 << 16  // nested ones and entries of metadata included
	maxRepeats = 4        // how often the texts of a message, as long as it is, may be referred to
	maxWidth   = 16 << 20 // bytes of a fixed-size binary, or items of a fixed-size list
)

// node is a field, nested or not, as every record batch describes it.
type node struct {
	name    string
	buffers int  // that a batch always has of it
	view    bool // a batch names the number of further ones
	top     bool // a column
}

// layout is what a record batch, or the content of a dictionary, must look like:
// the nodes in the order of the message.
type layout []node

// kinds are the types of fields in Arrow's format/Schema.fbs, by their number, with
// their number of buffers.
var kinds = [...]struct {
	known   bool
	buffers int
	view    bool
}{
	1:  {true, 0, false}, // Null
	2:  {true, 2, false}, // Int
	3:  {true, 2, false}, // FloatingPoint
	4:  {true, 3, false}, // Binary
	5:  {true, 3, false}, // Utf8
	6:  {true, 2, false}, // Bool
	7:  {true, 2, false}, // Decimal
	8:  {true, 2, false}, // Date
	9:  {true, 2, false}, // Time
	10: {true, 2, false}, // Timestamp
	11: {true, 2, false}, // Interval
	12: {true, 2, false}, // List
	13: {true, 1, false}, // Struct
	14: {true, 1, false}, // Union: one more if it is dense
	15: {true, 2, false}, // FixedSizeBinary
	16: {true, 1, false}, // FixedSizeList
	17: {true, 2, false}, // Map
	18: {true, 2, false}, // Duration
	19: {true, 3, false}, // LargeBinary
	20: {true, 3, false}, // LargeUtf8
	21: {true, 2, false}, // LargeList
	22: {true, 0, false}, // RunEndEncoded
	23: {true, 2, true},  // BinaryView
	24: {true, 2, true},  // Utf8View
	25: {true, 3, false}, // ListView
	26: {true, 3, false}, // LargeListView
}

const (
	kindTimestamp = 10
	kindUnion     = 14
)

// layouts are those of a stream.
type layouts struct {
	columns      layout
	dictionaries map[int64]layout
	tally        tally
}

// tally bounds what a message makes the library build: its parts may refer to each
// other any number of times, and in circles.
type tally struct {
	fields int
	text   int
	limit  int // of text, in bytes
}

func newTally(message table) tally { return tally{limit: maxRepeats * len(message.Bytes)} }

func (c *tally) count(n int) {
	if c.fields += n; c.fields > maxFields {
		panic(fmt.Sprintf("there are more than %d fields", maxFields))
	}
}

func (c *tally) read(text []byte) []byte {
	if c.text += len(text); c.text > c.limit {
		panic(fmt.Sprintf("its texts are longer than the message, more than %d times", maxRepeats))
	}
	return text
}

// metadata counts pairs of keys and values.
func (c *tally) metadata(t table, slot flatbuffers.VOffsetT) {
	pairs := t.list(slot, 4)
	c.count(pairs.len)
	for i := range pairs.len {
		c.read(pairs.item(i).text(slotKey))
		c.read(pairs.item(i).text(slotValue))
	}
}

// readSchema returns the layouts of a schema message. It panics as [table] does.
func readSchema(message table) *layouts {
	schema := message.child(slotMessageHeader)
	if schema.int16(slotSchemaEndianness) != 0 {
		panic("its numbers are big-endian, which is not supported")
	}
	l := &layouts{dictionaries: map[int64]layout{}, tally: newTally(message)}
	l.tally.metadata(schema, slotSchemaMetadata)
	fields := schema.list(slotSchemaFields, 4)
	l.tally.count(fields.len)
	for i := range fields.len {
		at := len(l.columns)
		l.columns = l.add(l.columns, fields.item(i), maxDepth)
		l.columns[at].top = true
	}
	return l
}

// add appends the nodes of a field. One that is encoded by a dictionary is its
// indices; what is inside belongs to the dictionary.
func (l *layouts) add(to layout, field table, depth int) layout {
	kind := field.byte(slotFieldKind)
	if int(kind) >= len(kinds) || !kinds[kind].known {
		panic(fmt.Sprintf("a field is of type %d, which does not exist", kind))
	}
	l.tally.metadata(field, slotFieldMetadata)
	n := node{name: string(l.tally.read(field.text(slotFieldName))), buffers: kinds[kind].buffers, view: kinds[kind].view}
	switch kind {
	case kindTimestamp:
		l.tally.read(field.child(slotFieldType).text(slotTimestampZone))
	case kindUnion:
		union := field.child(slotFieldType)
		l.tally.count(union.list(slotUnionTypeIDs, 4).len)
		if union.int16(slotUnionMode) != 0 {
			n.buffers++
		}
	}
	if field.has(slotFieldDictionary) {
		inside := l.children(layout{n}, field, depth)
		inside[0].top = true
		l.dictionaries[field.child(slotFieldDictionary).int64(slotEncodingID)] = inside
		return append(to, node{name: n.name, buffers: 2})
	}
	return l.children(append(to, n), field, depth)
}

func (l *layouts) children(to layout, field table, depth int) layout {
	children := field.list(slotFieldChildren, 4)
	if children.len > 0 && depth == 0 {
		panic(fmt.Sprintf("types are nested more than %d deep", maxDepth))
	}
	l.tally.count(children.len)
	for i := range children.len {
		to = l.add(to, children.item(i), depth-1)
	}
	return to
}

// checkSchema checks what the layout does not depend on.
func checkSchema(schema *arrow.Schema) error {
	for _, f := range schema.Fields() {
		if err := checkType(f.Type); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
	}
	return nil
}

func checkType(t arrow.DataType) error {
	switch t := t.(type) {
	case *arrow.FixedSizeBinaryType:
		return checkWidth(t, t.ByteWidth)
	case *arrow.FixedSizeListType:
		if err := checkWidth(t, int(t.Len())); err != nil {
			return err
		}
	case arrow.DecimalType:
		return checkDecimal(t)
	case *arrow.DictionaryType:
		return checkType(t.ValueType)
	case arrow.ExtensionType:
		return checkType(t.StorageType())
	}
	if nested, ok := t.(arrow.NestedType); ok {
		for _, f := range nested.Fields() {
			if err := checkType(f.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkWidth(t arrow.DataType, width int) error {
	if width < 1 || width > maxWidth {
		return fmt.Errorf("type %v: its size must be 1 to %d", t, maxWidth)
	}
	return nil
}

// checkDecimal bounds the scale, too: a number is printed with as many zeros.
func checkDecimal(t arrow.DecimalType) error {
	digits := map[arrow.Type]int32{arrow.DECIMAL32: 9, arrow.DECIMAL64: 18, arrow.DECIMAL128: 38, arrow.DECIMAL256: 76}[t.ID()]
	if p := t.GetPrecision(); p < 1 || p > digits {
		return fmt.Errorf("type %v: its precision must be 1 to %d", t, digits)
	}
	if s := t.GetScale(); s < -digits || s > digits {
		return fmt.Errorf("type %v: its scale must be %d to %d", t, -digits, digits)
	}
	return nil
}
