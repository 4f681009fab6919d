package flightserver

import "encoding/binary"

// An HTTP/2 frame is nine bytes of header, the first three of them its length and
// the fourth its type, and its payload (RFC 9113, section 4.1).
const (
	frameHeader = 9
	frameData   = 0
)

// dataCount reads what a server writes to an HTTP/2 connection, in pieces of any
// size, and counts the payload of its DATA frames: gRPC's messages with their
// prefixes, without headers, pings and window updates.
type dataCount struct {
	data int64

	header [frameHeader]byte
	have   int // bytes of header that have been seen
	left   int // bytes of the frame's payload to come
}

func (d *dataCount) add(b []byte) {
	for len(b) > 0 {
		if d.left == 0 {
			n := copy(d.header[d.have:], b)
			d.have, b = d.have+n, b[n:]
			if d.have < frameHeader {
				return
			}
			d.have, d.left = 0, int(binary.BigEndian.Uint32(d.header[:4])>>8)
			continue
		}
		n := min(d.left, len(b))
		if d.header[3] == frameData {
			d.data += int64(n)
		}
		d.left, b = d.left-n, b[n:]
	}
}
