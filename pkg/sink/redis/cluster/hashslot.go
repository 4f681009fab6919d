package cluster

import (
	"bytes"
	"strconv"
)

// slotCount is the number of hash slots of a Cluster.
const slotCount = 16384

// Slot returns the hash slot of a key, as a Cluster counts it: the CRC16 of the
// key, or of what stands in its first braces, if that is not empty.
func Slot(key []byte) int {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if size := bytes.IndexByte(key[open+1:], '}'); size > 0 {
			key = key[open+1 : open+1+size]
		}
	}
	var crc uint16
	for _, b := range key {
		crc = crc<<4 ^ crc16[byte(crc>>12)^b>>4]
		crc = crc<<4 ^ crc16[byte(crc>>12)^b&15]
	}
	return int(crc % slotCount)
}

// crc16 is the remainders of four bits by the polynomial 0x1021 (XMODEM).
var crc16 = [16]uint16{
	0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
	0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
}

// slotTags returns for each slot the first of the texts 0, 1, … z, 10, … whose slot
// it is. The names of the keys of the state are made of it, so it never changes.
func slotTags() []string {
	tags := make([]string, slotCount)
	var text []byte
	for i, missing := int64(0), slotCount; missing > 0; i++ {
		text = strconv.AppendInt(text[:0], i, 36)
		if slot := Slot(text); tags[slot] == "" {
			tags[slot] = string(text)
			missing--
		}
	}
	return tags
}

// bitmap is a set of slots, as SETBIT makes it.
type bitmap []byte

func (m bitmap) has(slot int) bool {
	return slot>>3 < len(m) && m[slot>>3]&(0x80>>(slot&7)) != 0
}

func (m *bitmap) add(slot int) {
	for len(*m) <= slot>>3 {
		*m = append(*m, 0)
	}
	(*m)[slot>>3] |= 0x80 >> (slot & 7)
}

// Each returns the slots that are in the set.
func (m bitmap) Each(yield func(int) bool) {
	for slot := range 8 * len(m) {
		if m.has(slot) && !yield(slot) {
			return
		}
	}
}
