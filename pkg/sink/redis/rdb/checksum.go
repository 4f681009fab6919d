package rdb

import (
	"encoding/binary"
	"hash/crc64"
)

// checksum returns the CRC-64 of Redis: the polynomial of Jones, reflected, without the
// inversions of hash/crc64. Sixteen bytes at a time, of which eight do not wait for what
// the bytes before them came to: hash/crc64 takes eight, and for texts of two kilobytes and
// more only, and a row is smaller.
func checksum(b []byte) uint64 {
	var crc uint64
	t := &checksums
	for ; len(b) >= 16; b = b[16:] {
		v, w := crc^binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		crc = t[7][w&0xff] ^ t[6][w>>8&0xff] ^ t[5][w>>16&0xff] ^ t[4][w>>24&0xff] ^
			t[3][w>>32&0xff] ^ t[2][w>>40&0xff] ^ t[1][w>>48&0xff] ^ t[0][w>>56]
		crc ^= t[15][v&0xff] ^ t[14][v>>8&0xff] ^ t[13][v>>16&0xff] ^ t[12][v>>24&0xff] ^
			t[11][v>>32&0xff] ^ t[10][v>>40&0xff] ^ t[9][v>>48&0xff] ^ t[8][v>>56]
	}
	for _, c := range b {
		crc = t[0][byte(crc)^c] ^ crc>>8
	}
	return crc
}

// jones is the polynomial, its bits reversed as hash/crc64 takes it.
const jones = 0x95ac9329ac4bc9b5

// checksums holds for each byte what it does to the checksum, with 0 to 15 bytes
// behind it. It is never written to.
var checksums = func() (t [16]crc64.Table) {
	t[0] = *crc64.MakeTable(jones)
	for i := range 256 {
		for k := 1; k < len(t); k++ {
			t[k][i] = t[0][byte(t[k-1][i])] ^ t[k-1][i]>>8
		}
	}
	return t
}()
