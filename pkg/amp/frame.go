package amp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// frame is a FlightData message as DoGet receives it. The generated type would
// copy the body twice, into memory of its own choosing; here it goes from the
// transport's buffers straight into the allocator's, which aligns it as Arrow
// wants it, counts it and may use it again (see [Config.Recycle]).
type frame struct {
	alloc    memory.Allocator
	header   []byte         // the flatbuffer of the Arrow message
	metadata []byte         // app_metadata
	body     *memory.Buffer // never nil after a message was received
}

// take returns the body, which is the caller's to release from then on.
func (f *frame) take() *memory.Buffer {
	body := f.body
	f.body = nil
	return body
}

func (f *frame) release() {
	if f.body != nil {
		f.body.Release()
		f.body = nil
	}
}

// Fields of arrow.flight.protocol.FlightData.
const (
	fieldHeader   protowire.Number = 2
	fieldMetadata protowire.Number = 3
	fieldBody     protowire.Number = 1000
)

var errFrame = errors.New("malformed FlightData")

func (f *frame) read(data mem.BufferSlice) (err error) {
	f.header, f.metadata = nil, nil
	f.release()
	in := data.Reader()
	defer func() {
		if closing := in.Close(); err == nil {
			err = closing
		}
		if err != nil {
			f.release()
		}
	}()
	for in.Remaining() > 0 {
		tag, err := binary.ReadUvarint(in)
		if err != nil {
			return errFrame
		}
		field, kind := protowire.DecodeTag(tag)
		if err := f.readField(in, field, kind); err != nil {
			return fmt.Errorf("%w: field %d", err, field)
		}
	}
	if f.body == nil {
		f.body = memory.NewBufferBytes(nil)
	}
	return nil
}

func (f *frame) readField(in *mem.Reader, field protowire.Number, kind protowire.Type) error {
	size := uint64(0)
	switch kind {
	case protowire.VarintType:
		if _, err := binary.ReadUvarint(in); err != nil {
			return errFrame
		}
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	case protowire.BytesType:
		var err error
		if size, err = binary.ReadUvarint(in); err != nil {
			return errFrame
		}
	default:
		return errFrame
	}
	if size > uint64(in.Remaining()) {
		return errFrame
	}
	var into []byte
	switch {
	case kind != protowire.BytesType:
	case field == fieldHeader:
		f.header = make([]byte, size)
		into = f.header
	case field == fieldMetadata:
		f.metadata = make([]byte, size)
		into = f.metadata
	case field == fieldBody:
		f.release()
		f.body = memory.NewResizableBuffer(f.alloc)
		f.body.Resize(int(size))
		into = f.body.Bytes()
	}
	if into == nil {
		_, err := in.Discard(int(size))
		return err
	}
	_, err := io.ReadFull(in, into)
	return err
}

// frameCodec is grpc's codec for DoGet: an ordinary ticket out, frames in.
type frameCodec struct{}

func (frameCodec) Name() string { return "" } // the content type stays plain application/grpc

func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("marshal %T: not a message", v)
	}
	text, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(text)}, nil
}

func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("unmarshal into %T: not a frame", v)
	}
	return f.read(data)
}
