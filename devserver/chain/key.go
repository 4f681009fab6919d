package chain

import (
	"encoding/binary"

	"github.com/ampipe/ampipe/pkg/block"
)

// key is the state of a pseudo-random sequence (splitmix64): a place in the
// chain. Equal keys give equal bytes, on any machine.
type key uint64

// Salts keep the sequences of one block apart.
const (
	saltBlock uint64 = iota + 1
	saltSkew
	saltTransaction
	saltLog
	saltShape
	saltContract
	saltTopic
	saltParty
)

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const golden = 0x9e3779b97f4a7c15

func newKey(seed uint64, fork uint32, n block.Number) key {
	return key(mix(mix(mix(seed+golden)^uint64(fork)*golden) ^ (uint64(n)+1)*golden))
}

// derive returns the key of something inside k.
func (k key) derive(salt uint64) key { return key(mix(uint64(k) ^ salt*golden)) }

// next returns 64 random bits and moves on.
func (k *key) next() uint64 {
	*k += golden
	return mix(uint64(*k))
}

// below returns a number in [0, n).
func (k *key) below(n uint64) uint64 { return k.next() % n }

// unit returns a number in [0, 1).
func (k key) unit() float64 { return float64(mix(uint64(k)+golden)>>11) / (1 << 53) }

// fill writes random bytes.
func (k *key) fill(to []byte) {
	for len(to) >= 8 {
		binary.LittleEndian.PutUint64(to, k.next())
		to = to[8:]
	}
	if len(to) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], k.next())
		copy(to, last[:])
	}
}

func (k key) hash(salt uint64) block.Hash {
	var h block.Hash
	k = k.derive(salt)
	k.fill(h[:])
	return h
}
