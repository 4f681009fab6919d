package entry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// readStream reads a whole Arrow IPC stream in place: the batches point into
// buf and keep it. Nothing may follow the end of the stream, and it must be
// there. The Arrow library panics on much that is wrong; here that is an error.
func readStream(buf *memory.Buffer, mem memory.Allocator) (schema *arrow.Schema, recs []arrow.RecordBatch, err error) {
	messages := &messageReader{buf: buf, rest: buf.Bytes()}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read Arrow stream: %v", p)
		}
		if err != nil {
			release(recs)
			recs = nil
		}
		messages.drop()
	}()
	r, err := ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(mem))
	if err != nil {
		return nil, nil, fmt.Errorf("read Arrow stream: %w", err)
	}
	defer r.Release()
	for r.Next() {
		rec := r.RecordBatch()
		rec.Retain()
		recs = append(recs, rec)
	}
	switch {
	case r.Err() != nil:
		return nil, recs, fmt.Errorf("read Arrow stream: %w", r.Err())
	case !messages.ended:
		return nil, recs, errors.New("read Arrow stream: it has no end")
	case len(messages.rest) > 0:
		return nil, recs, fmt.Errorf("read Arrow stream: %d bytes follow its end", len(messages.rest))
	}
	return r.Schema(), recs, nil
}

// messageReader hands out the messages of a stream in memory without copying.
type messageReader struct {
	buf      *memory.Buffer
	rest     []byte
	msg      *ipc.Message
	verifier verifier
	ended    bool
}

var errCut = fmt.Errorf("the stream is cut off: %w", io.ErrUnexpectedEOF)

// Message gives the next message, valid until the next call, or io.EOF.
func (m *messageReader) Message() (*ipc.Message, error) {
	m.drop()
	if m.ended {
		return nil, io.EOF
	}
	if len(m.rest) < len(endOfStream) {
		return nil, errCut
	}
	if bytes.HasPrefix(m.rest, endOfStream) {
		m.ended, m.rest = true, m.rest[len(endOfStream):]
		return nil, io.EOF
	}
	if !bytes.HasPrefix(m.rest, endOfStream[:4]) {
		return nil, errors.New("a message does not begin with the continuation mark")
	}
	size := uint64(binary.LittleEndian.Uint32(m.rest[4:]))
	m.rest = m.rest[8:]
	if size > uint64(len(m.rest)) {
		return nil, errCut
	}
	meta := m.rest[:size:size]
	m.rest = m.rest[size:]
	bodySize, err := m.verifier.message(meta)
	if err != nil {
		return nil, err
	}
	if bodySize > uint64(len(m.rest)) {
		return nil, errCut
	}
	at := m.buf.Len() - len(m.rest)
	body := memory.SliceBuffer(m.buf, at, int(bodySize))
	defer body.Release()
	m.rest = m.rest[bodySize:]
	m.msg = ipc.NewMessage(memory.NewBufferBytes(meta), body)
	return m.msg, nil
}

func (m *messageReader) drop() {
	if m.msg != nil {
		m.msg.Release()
		m.msg = nil
	}
}

// Retain and Release are the reader's wish: the messages belong to readStream.
func (m *messageReader) Retain() {}

// Release does nothing.
func (m *messageReader) Release() {}

// boundedAllocator bounds what the Arrow library may ask for, which a hostile
// stream can make huge. Its panic ends in readStream.
type boundedAllocator struct {
	memory.Allocator
	left int
}

func (b *boundedAllocator) take(n int) {
	if n > b.left {
		panic("it wants more memory than its limit")
	}
	b.left -= n
}

func (b *boundedAllocator) Allocate(n int) []byte {
	b.take(n)
	return b.Allocator.Allocate(n)
}

func (b *boundedAllocator) Reallocate(n int, old []byte) []byte {
	b.take(max(0, n-len(old)))
	return b.Allocator.Reallocate(n, old)
}

// aligned gives b at an address that Arrow's 64-bit values may have. The
// payload of a message may begin anywhere in the buffer it was received in.
func aligned(b []byte) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return b
	}
	return bytes.Clone(b)
}
