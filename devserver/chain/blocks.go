package chain

// blockRow appends a block as after the Cancun upgrade, without the fields that
// came or went with others.
func blockRow(r row, _ View, h Header, _ uint32) {
	k := h.key.derive(saltShape)
	r.uint64(uint64(h.Number))
	r.uint64(uint64(h.Number))
	r.time(h.Time)
	r.bytes(h.Hash[:])
	r.bytes(h.Parent[:])
	r.bytes(k.bytes(32)) // ommers_hash
	r.bytes(k.bytes(20)) // miner
	r.bytes(k.bytes(32)) // state_root
	r.bytes(k.bytes(32)) // transactions_root
	r.bytes(k.bytes(32)) // receipt_root
	r.bytes(k.bytes(256))
	r.decimal(0) // difficulty
	r.null()     // total_difficulty
	r.uint64(30_000_000)
	r.uint64(k.below(30_000_000))
	r.bytes(k.bytes(int(k.below(33))))
	r.bytes(k.bytes(32)) // mix_hash
	r.uint64(k.next())   // nonce, all 64 bits
	r.decimal(7 + k.below(100_000_000_000))
	r.bytes(k.bytes(32)) // withdrawals_root
	r.uint64(k.below(7) * 131072)
	r.uint64(k.below(100) * 131072)
	r.bytes(k.bytes(32)) // parent_beacon_root
	r.null()             // requests_hash
}

func (k *key) bytes(n int) []byte {
	b := make([]byte, n)
	k.fill(b)
	return b
}
