package redis

import (
	"bytes"
	"strconv"
)

// slotCount is the number of hash slots of a Cluster.
const slotCount = 16384

// slotOf gives the hash slot of a key, as a Cluster counts it: the CRC16 of the
// key, or of what stands in its first braces, if that is not empty.
func slotOf(key []byte) int {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if size := bytes.IndexByte(key[open+1:], '}'); size > 0 {
			key = key[open+1 : open+1+size]
		}
	}
	var crc uint16
	for _, b := range key {
		crc ^= uint16(b) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
	}
	return int(crc % slotCount)
}

// slotTags gives for each slot the first of the texts 0, 1, … z, 10, … whose slot
// it is. The names of the keys of the state are made of it, so it never changes.
func slotTags() []string {
	tags := make([]string, slotCount)
	for i, missing := int64(0), slotCount; missing > 0; i++ {
		tag := strconv.FormatInt(i, 36)
		if slot := slotOf([]byte(tag)); tags[slot] == "" {
			tags[slot] = tag
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

// each gives the slots that are in the set.
func (m bitmap) each(yield func(int) bool) {
	for slot := range 8 * len(m) {
		if m.has(slot) && !yield(slot) {
			return
		}
	}
}
