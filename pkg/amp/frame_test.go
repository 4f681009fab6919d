package amp

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// FuzzFrame compares the reader of DoGet's messages with the generated one: what
// that accepts must give the same fields, however the transport cuts the bytes, and
// no input may panic or leak.
func FuzzFrame(f *testing.F) {
	for _, d := range []*flight.FlightData{
		{},
		{DataHeader: []byte("header"), AppMetadata: []byte("{}"), DataBody: bytes.Repeat([]byte{7}, 300)},
		{FlightDescriptor: &flight.FlightDescriptor{Path: []string{"a"}}, DataBody: []byte{1}},
	} {
		text, err := proto.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint8(3))
		f.Add(append(text, text...), uint8(100)) // the later field wins
		f.Add(text[:len(text)/2], uint8(1))
	}
	f.Add([]byte{0x08, 0x01, 0x15, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8}, uint8(5)) // unknown fields
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		allocator := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer allocator.AssertSize(t, 0)
		var cut mem.BufferSlice
		for rest := text; len(rest) > 0; {
			n := min(max(int(step), 1), len(rest))
			cut = append(cut, mem.SliceBuffer(rest[:n]))
			rest = rest[n:]
		}
		got := frame{alloc: allocator}
		defer got.release()
		err := frameCodec{}.Unmarshal(cut, &got)
		var want flight.FlightData
		if proto.Unmarshal(text, &want) != nil {
			return // the generated reader also looks into fields that are skipped here
		}
		if err != nil {
			// Groups are a relic that no server sends; they are the one thing refused.
			if hasGroup(&want) {
				return
			}
			t.Fatalf("%x: %v", text, err)
		}
		if !bytes.Equal(got.header, want.DataHeader) || !bytes.Equal(got.metadata, want.AppMetadata) || !bytes.Equal(got.body.Bytes(), want.DataBody) {
			t.Fatalf("%x: header %x, metadata %x, body %x; want %v", text, got.header, got.metadata, got.body.Bytes(), &want)
		}
		if body := got.body.Bytes(); len(body) > 0 && addressOf(body)%64 != 0 {
			t.Fatalf("the body is not aligned")
		}
	})
}

func hasGroup(d *flight.FlightData) bool {
	for unknown := d.ProtoReflect().GetUnknown(); len(unknown) > 0; {
		_, kind, n := protowire.ConsumeField(unknown)
		if n < 0 || kind == protowire.StartGroupType {
			return true
		}
		unknown = unknown[n:]
	}
	return false
}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
