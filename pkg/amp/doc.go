// Package amp is the client of an Amp server: SQL over Arrow Flight, with the
// block ranges that Amp attaches to every answer.
//
//	client, err := amp.Open(ctx, amp.Config{URL: "grpc://localhost:1602"})
//	…
//	for m, err := range client.Fetch(ctx, "SELECT * FROM eth_rpc.blocks ORDER BY _block_num") {
//		if err != nil {
//			return err // classed: ask fault.Of
//		}
//		use(m.Record, m.Ranges) // until the next turn of the loop
//	}
//
// An answer says which blocks the server had when it ran the query, not which
// blocks the query selected: whoever wants the blocks of a range must compare the
// two, because missing blocks are no error (AP 2).
//
// The client repeats nothing by itself, but for one call whose token was refused
// and could be refreshed. What to do about an error is said by its class, and the
// reasons stand with the rules in error.go.
//
// "AP n.n" in comments is a section of the reference for Amp's protocol.
package amp
