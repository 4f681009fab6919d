package chain

import (
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow/array"
)

func (h Header) transactionKey(i uint32) key { return h.key.derive(saltTransaction + uint64(i)<<8) }

func (h Header) transactionHash(i uint32) block.Hash {
	return h.transactionKey(i).hash(saltTransaction)
}

// transactionRow appends a transaction of any type from 0 to 4, so that every
// column has values and nulls.
func transactionRow(r row, v View, h Header, i uint32) {
	party := newKey(v.config.Seed, 0, 0).derive(saltParty)
	hash := h.transactionHash(i)
	k := h.transactionKey(i).derive(saltShape)
	kind := [16]int32{0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4}[k.below(16)]
	from, to := party.derive(k.below(10_000)), party.derive(k.below(10_000))
	r.uint64(uint64(h.Number))
	r.bytes(h.Hash[:])
	r.uint64(uint64(h.Number))
	r.time(h.Time)
	r.uint32(i)
	r.bytes(hash[:])
	r.optional(k.below(50) > 0, to.bytes(20)) // null creates a contract
	r.uint64(k.below(100_000))
	r.decimal(1 + k.below(200_000_000_000))
	r.uint64(21_000 + k.below(2_000_000))
	r.text(amount(&k))
	r.bytes(k.bytes([8]int{0, 0, 4, 68, 68, 100, 228, 548}[k.below(8)]))
	r.bytes(k.bytes(32))
	r.bytes(k.bytes(32))
	r.bool(k.below(2) == 1)
	if kind == 0 && k.below(8) == 0 {
		r.null() // signed before EIP-155
	} else {
		r.uint64(31337)
	}
	r.uint64(21_000 + k.below(500_000))
	r.int32(kind)
	for _, there := range []bool{kind >= 2, kind >= 2, kind == 3} { // max fees: gas, priority, blob
		if there {
			r.decimal(k.below(300_000_000_000))
		} else {
			r.null()
		}
	}
	r.bytes(from.bytes(20))
	r.bool(k.below(20) > 0)
	r.null() // state_root, before Byzantium only
	r.accessList(kind >= 1, &k)
	r.blobs(kind == 3, &k)
	r.authorizations(kind == 4, &k)
}

// amount returns a value in wei, often zero and sometimes beyond 64 bits.
func amount(k *key) string {
	switch k.below(4) {
	case 0, 1:
		return "0"
	case 2:
		return fmt.Sprint(k.next() >> 4)
	default:
		return fmt.Sprintf("%d%018d", 1+k.below(1_000_000), k.below(1_000_000_000_000_000_000))
	}
}

// list begins a list, or appends null if there is none, and returns the builder of its
// items.
func list[B array.Builder](r row, there bool) B {
	l := r.field().(*array.ListBuilder)
	l.Append(there)
	return l.ValueBuilder().(B)
}

func (r row) accessList(there bool, k *key) {
	entry := list[*array.StructBuilder](r, there)
	if !there {
		return
	}
	keys := entry.FieldBuilder(1).(*array.ListBuilder)
	for range k.below(3) {
		entry.Append(true)
		entry.FieldBuilder(0).(*array.FixedSizeBinaryBuilder).Append(k.bytes(20))
		keys.Append(true)
		for range k.below(3) {
			keys.ValueBuilder().(*array.FixedSizeBinaryBuilder).Append(k.bytes(32))
		}
	}
}

func (r row) blobs(there bool, k *key) {
	hashes := list[*array.FixedSizeBinaryBuilder](r, there)
	if !there {
		return
	}
	for range 1 + k.below(6) {
		hashes.Append(k.bytes(32))
	}
}

func (r row) authorizations(there bool, k *key) {
	entry := list[*array.StructBuilder](r, there)
	if !there {
		return
	}
	for range 1 + k.below(3) {
		entry.Append(true)
		entry.FieldBuilder(0).(*array.Uint64Builder).Append(31337)
		entry.FieldBuilder(1).(*array.FixedSizeBinaryBuilder).Append(k.bytes(20))
		entry.FieldBuilder(2).(*array.Uint64Builder).Append(k.below(1000))
		entry.FieldBuilder(3).(*array.BooleanBuilder).Append(k.below(2) == 1)
		entry.FieldBuilder(4).(*array.FixedSizeBinaryBuilder).Append(k.bytes(32))
		entry.FieldBuilder(5).(*array.FixedSizeBinaryBuilder).Append(k.bytes(32))
	}
}
