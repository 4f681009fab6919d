package arrowguard

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Limits of a schema.
const (
	maxDepth   = 64       // of nested types
	maxFields  = 1 << 16  // nested ones and entries of metadata included
	maxRepeats = 4        // how often texts as long as the message may be referred to
	maxWidth   = 16 << 20 // bytes of a fixed-size binary, or items of a fixed-size list
)

// The types of fields, as Arrow's format/Schema.fbs numbers them.
const (
	kindNull = iota + 1
	kindInt
	kindFloat
	kindBinary
	kindText
	kindBool
	kindDecimal
	kindDate
	kindTime
	kindTimestamp
	kindInterval
	kindList
	kindStruct
	kindUnion
	kindFixedBinary
	kindFixedList
	kindMap
	kindDuration
	kindLargeBinary
	kindLargeText
	kindLargeList
	kindRuns
	kindBinaryView
	kindTextView
	kindListView
	kindLargeListView
)

// field is a column, or a part of one.
type field struct {
	name       string
	kind       byte
	width      int64 // bits of a value of fixed width
	signed     bool  // integers
	items      int64 // of each fixed-size list
	dense      bool  // of unions
	codes      []int // of unions: the child of each type id, -1: none
	children   []*field
	dictionary *dictionary // of the values, if the field is indices into one
}

// dictionary is what the indices of a field point into.
type dictionary struct {
	values *field
	length int64 // of the last one that came
}

// schema is that of a stream.
type schema struct {
	columns      []*field
	dictionaries map[int64]*dictionary
	tally        tally
	inside       bool // a dictionary, while the schema is read
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

func (c *tally) read(text []byte) string {
	if c.text += len(text); c.text > c.limit {
		panic(fmt.Sprintf("its texts are more than %d times as long as itself", maxRepeats))
	}
	return string(text)
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

// readSchema returns the schema of a message. It panics as [table] does.
func readSchema(message table) *schema {
	in := message.child(slotMessageHeader)
	if in.int16(slotSchemaEndianness, 0) != 0 {
		panic("its numbers are big-endian, which is not supported")
	}
	s := &schema{dictionaries: map[int64]*dictionary{}, tally: newTally(message)}
	s.tally.metadata(in, slotSchemaMetadata)
	s.columns = s.fields(in.list(slotSchemaFields, 4), maxDepth)
	return s
}

func (s *schema) fields(in list, depth int) []*field {
	if in.len > 0 && depth < 0 {
		panic(fmt.Sprintf("types are nested more than %d deep", maxDepth))
	}
	s.tally.count(in.len)
	all := make([]*field, in.len)
	for i := range all {
		all[i] = s.field(in.item(i), depth)
	}
	return all
}

// field returns a field. One that is encoded by a dictionary is its indices.
func (s *schema) field(in table, depth int) *field {
	s.tally.metadata(in, slotFieldMetadata)
	f := &field{name: s.tally.read(in.text(slotFieldName)), kind: in.byte(slotFieldKind)}
	if f.kind < kindNull || f.kind > kindLargeListView {
		panic(fmt.Sprintf("field %.100q is of type %d, which does not exist", f.name, f.kind))
	}
	if !in.has(slotFieldDictionary) {
		f.children = s.fields(in.list(slotFieldChildren, 4), depth-1)
		f.describe(in.child(slotFieldType), &s.tally)
		return f
	}
	if s.inside {
		panic(fmt.Sprintf("field %.100q is a dictionary inside a dictionary, which is not supported", f.name))
	}
	s.inside = true
	f.children = s.fields(in.list(slotFieldChildren, 4), depth-1)
	f.describe(in.child(slotFieldType), &s.tally)
	s.inside = false
	encoding := in.child(slotFieldDictionary)
	id := encoding.int64(slotEncodingID)
	d, known := s.dictionaries[id]
	if !known {
		d = &dictionary{values: f}
		s.dictionaries[id] = d
	}
	index := &field{name: f.name, kind: kindInt, dictionary: d}
	index.describe(encoding.child(slotEncodingIndex), &s.tally)
	return index
}

// describe reads the sizes of a field's values from its type.
func (f *field) describe(t table, c *tally) {
	switch f.kind {
	case kindInt:
		f.width, f.signed = int64(t.int32(4, 0)), t.byte(6) != 0
	case kindFloat:
		f.width = 16 << t.int16(4, 0)
	case kindBool:
		f.width = 1
	case kindDecimal:
		f.decimal(t)
	case kindDate:
		f.width = 32 << t.int16(4, 1)
	case kindTime:
		f.width = int64(t.int32(6, 32))
	case kindTimestamp:
		c.read(t.text(6)) // the time zone
		f.width = 64
	case kindDuration:
		f.width = 64
	case kindInterval:
		f.width = 32 << t.int16(4, 0)
	case kindFixedBinary:
		f.width = 8 * f.size(t)
	case kindFixedList:
		f.items = f.size(t)
	case kindUnion:
		f.union(t)
	}
	want, number := len(f.children), f.width
	switch f.kind {
	case kindList, kindLargeList, kindListView, kindLargeListView, kindFixedList, kindMap:
		want = 1
	case kindRuns:
		want = 2
	}
	if len(f.children) != want || (f.kind == kindMap && len(f.children[0].children) != 2) {
		panic(fmt.Sprintf("field %.100q has not the fields inside that its type has", f.name))
	}
	switch f.kind {
	case kindInt, kindFloat, kindTime, kindDate, kindInterval:
		if number != 8 && number != 16 && number != 32 && number != 64 && number != 128 {
			panic(fmt.Sprintf("field %.100q has numbers of %d bits", f.name, number))
		}
	}
}

// size reads the size of a fixed-size binary or list.
func (f *field) size(t table) int64 {
	n := t.int32(4, 0)
	if n < 1 || n > maxWidth {
		panic(fmt.Sprintf("field %.100q has a fixed size of %d; it must be 1 to %d", f.name, n, maxWidth))
	}
	return int64(n)
}

// decimal checks the type of a decimal, and bounds its scale: a number is printed with as
// many zeros.
func (f *field) decimal(t table) {
	f.width = int64(t.int32(8, 128))
	digits := map[int64]int32{32: 9, 64: 18, 128: 38, 256: 76}[f.width]
	if p := t.int32(4, 0); p < 1 || p > digits {
		panic(fmt.Sprintf("field %.100q has a precision of %d; of %d bits it must be 1 to %d", f.name, p, f.width, digits))
	}
	if s := t.int32(6, 0); s < -digits || s > digits {
		panic(fmt.Sprintf("field %.100q has a scale of %d; of %d bits it must be %d to %d", f.name, s, f.width, -digits, digits))
	}
}

func (f *field) union(t table) {
	f.dense = t.int16(4, 0) != 0
	f.codes = make([]int, 128)
	for i := range f.codes {
		f.codes[i] = -1
	}
	ids := t.list(6, 4)
	for i := range f.children {
		code := int32(i)
		if ids.len > 0 {
			code = ids.int32(i)
		}
		if code < 0 || int(code) >= len(f.codes) || (ids.len > 0 && ids.len != len(f.children)) {
			panic(fmt.Sprintf("field %.100q is a union with impossible type ids", f.name))
		}
		f.codes[code] = i
	}
}
