package arrowguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Source returns the messages of a stream, in order.
type Source interface {
	// Next returns the metadata and the body of the next message, or an error, which
	// the [Reader] returns as it is; [io.EOF] is the regular end. The body, never nil,
	// is the caller's to release, and both stay as they are until the next call and as
	// long as there are references to the body.
	Next() (metadata []byte, body *memory.Buffer, err error)
}

// Reader reads one stream: a schema, then record batches. It is not safe for
// concurrent use.
type Reader struct {
	messages *messages
	schema   *arrow.Schema
	ipc      *ipc.Reader // nil: Next makes it
	record   arrow.RecordBatch
	err      error
}

// NewReader reads the schema of a stream.
func NewReader(source Source) (r *Reader, err error) {
	m := &messages{source: source}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read schema: %v", p)
		}
		if err != nil {
			m.drop()
		}
	}()
	in, err := ipc.NewReaderFromMessageReader(m, ipc.WithAllocator(noMemory{}))
	switch {
	case m.err != nil:
		return nil, m.err
	case err != nil:
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return &Reader{messages: m, schema: in.Schema(), ipc: in}, nil
}

// ReadSchema reads a schema on its own, as an encapsulated message: what the schema
// of a FlightInfo is. What follows it is ignored.
func ReadSchema(message []byte) (*arrow.Schema, error) {
	message = bytes.TrimPrefix(message, []byte{0xff, 0xff, 0xff, 0xff})
	if len(message) < 4 {
		return nil, fmt.Errorf("read schema: %w", io.ErrUnexpectedEOF)
	}
	size := uint64(binary.LittleEndian.Uint32(message))
	if message = message[4:]; size > uint64(len(message)) {
		return nil, fmt.Errorf("read schema: %w", io.ErrUnexpectedEOF)
	}
	r, err := NewReader(&single{message[:size:size]})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return r.Schema(), nil
}

// single is a stream of one message.
type single struct{ metadata []byte }

func (s *single) Next() ([]byte, *memory.Buffer, error) {
	return s.metadata, memory.NewBufferBytes(nil), nil
}

// Schema returns the schema of all batches.
func (r *Reader) Schema() *arrow.Schema { return r.schema }

// Next returns the next record batch, which is borrowed until the next call, unless
// it is retained. It shares the memory of its message's body. The error is io.EOF at
// the end, or the source's, or says what is wrong with the message; after one there
// is nothing more to read.
func (r *Reader) Next() (arrow.RecordBatch, error) {
	r.release()
	if r.err != nil {
		return nil, r.err
	}
	r.record, r.err = r.next()
	return r.record, r.err
}

func (r *Reader) next() (rec arrow.RecordBatch, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read record batch: %v", p)
		}
	}()
	if r.ipc == nil {
		if r.ipc, err = r.messages.restart(); err != nil {
			return nil, err
		}
	}
	if !r.ipc.Next() {
		// The error of the source or of a check comes first; the library wraps it.
		if err := r.messages.err; err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := r.ipc.Err(); err != nil {
			return nil, fmt.Errorf("read record batch: %w", err)
		}
		return nil, io.EOF
	}
	return completed(r.ipc.RecordBatch()), nil
}

func (r *Reader) release() {
	if r.record != nil {
		r.record.Release()
		r.record = nil
	}
}

// Drop releases the current batch now, and not when the next is asked for, for which the
// caller may have to wait. The library's reader has no method for that, so another takes its
// place. One that has read dictionaries is needed for the batches to come, and keeps its batch.
func (r *Reader) Drop() {
	r.release()
	if r.ipc != nil && len(r.messages.schema.dictionaries) == 0 {
		r.ipc.Release()
		r.ipc = nil
	}
}

// Release releases the current batch and the memory of the reader. The source is
// not asked again.
func (r *Reader) Release() {
	r.release()
	if r.ipc != nil {
		r.ipc.Release()
	}
}

// messages checks the messages of a source for the library's reader, which owns it.
type messages struct {
	source  Source
	schema  *schema // nil: it has not come yet
	opening []byte  // the metadata of the message with the schema
	reopens bool    // that message is the next
	message *ipc.Message
	err     error // the source's, or what is wrong with its last message
}

// Message returns the next message; it is valid until the one after it.
func (m *messages) Message() (*ipc.Message, error) {
	m.drop()
	if m.reopens {
		m.reopens = false
		m.message = ipc.NewMessage(memory.NewBufferBytes(m.opening), memory.NewBufferBytes(nil))
		return m.message, nil
	}
	metadata, body, err := m.source.Next()
	if err != nil {
		m.err = err
		return nil, err
	}
	defer body.Release() // the message holds it from here on
	if m.err = m.check(metadata, body.Bytes()); m.err != nil {
		return nil, m.err
	}
	m.message = ipc.NewMessage(memory.NewBufferBytes(metadata), body)
	return m.message, nil
}

// check verifies a message before the library reads it.
func (m *messages) check(metadata, body []byte) (err error) {
	defer damaged(&err)
	message := parse(metadata)
	if v := message.int16(slotMessageVersion, 0); v != metadataV5 {
		return fmt.Errorf("an Arrow message has version V%d of the format, want V%d", v+1, metadataV5+1)
	}
	counted := newTally(message)
	counted.metadata(message, slotMessageMetadata)
	kind := message.byte(slotMessageType)
	switch {
	case m.schema == nil && kind != headerIsSchema:
		return fmt.Errorf("the first Arrow message is of kind %d instead of a schema", kind)
	case m.schema == nil:
		m.schema, m.opening = readSchema(message), bytes.Clone(metadata)
		return nil
	}
	header := message.child(slotMessageHeader)
	switch kind {
	case headerIsBatch:
		_, err = checkContent(header, body, m.schema.columns...)
	case headerIsDictionary:
		err = m.schema.checkDictionary(header, body)
	case headerIsSchema:
		err = errors.New("it is a second schema, in the middle of a stream")
	default:
		err = fmt.Errorf("it is of kind %d, which does not exist", kind)
	}
	if err != nil {
		return fmt.Errorf("an Arrow message is damaged: %w", err)
	}
	return nil
}

func (s *schema) checkDictionary(in table, body []byte) error {
	id := in.int64(slotDictionaryID)
	d, known := s.dictionaries[id]
	switch {
	case !known:
		return fmt.Errorf("no column has dictionary %d", id)
	case in.byte(slotDictionaryIsDelta) != 0:
		return errors.New("it is the delta of a dictionary, which is not supported")
	}
	n, err := checkContent(in.child(slotDictionaryBatch), body, d.values)
	d.length = n
	return err
}

// restart returns a reader of the messages that follow the last.
func (m *messages) restart() (*ipc.Reader, error) {
	m.reopens = true
	in, err := ipc.NewReaderFromMessageReader(m, ipc.WithAllocator(noMemory{}))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return in, nil
}

func (m *messages) drop() {
	if m.message != nil {
		m.message.Release()
		m.message = nil
	}
}

// Retain does nothing: there is only ever the one owner.
func (m *messages) Retain() {}

// Release releases the last message.
func (m *messages) Release() { m.drop() }

// noMemory is the allocator of the library's reader: nothing that passes the checks
// makes it ask. Its panic ends in the Reader.
type noMemory struct{}

var errMemory = errors.New("the Arrow library asks for memory where the message has none")

func (noMemory) Allocate(int) []byte           { panic(errMemory) }
func (noMemory) Reallocate(int, []byte) []byte { panic(errMemory) }
func (noMemory) Free([]byte)                   {}
