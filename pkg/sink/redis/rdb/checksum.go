package rdb

import (
	"encoding/binary"
	"hash/crc64"
)

// checksum returns the CRC-64 of Redis: the polynomial of Jones, reflected, without the
// inversions of hash/crc64. Eight bytes at a time: hash/crc64 does that for texts
// of two kilobytes and more only, and a row is smaller.
func checksum(b []byte) uint64 {
	var crc uint64
	t := &checksums
	for ; len(b) >= 8; b = b[8:] {
		crc ^= binary.LittleEndian.Uint64(b)
		crc = t[7][crc&0xff] ^ t[6][crc>>8&0xff] ^ t[5][crc>>16&0xff] ^ t[4][crc>>24&0xff] ^
			t[3][crc>>32&0xff] ^ t[2][crc>>40&0xff] ^ t[1][crc>>48&0xff] ^ t[0][crc>>56]
	}
	for _, c := range b {
		crc = t[0][byte(crc)^c] ^ crc>>8
	}
	return crc
}

// jones is the polynomial, its bits reversed as hash/crc64 takes it.
const jones = 0x95ac9329ac4bc9b5

// checksums holds for each byte what it does to the checksum, with 0 to 7 bytes
// behind it. It is never written to.
var checksums = func() (t [8]crc64.Table) {
	t[0] = *crc64.MakeTable(jones)
	for i := range 256 {
		for k := 1; k < 8; k++ {
			t[k][i] = t[0][byte(t[k-1][i])] ^ t[k-1][i]>>8
		}
	}
	return t
}()
