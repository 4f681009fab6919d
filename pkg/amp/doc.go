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
// blocks the query selected: who wants the blocks of a range must compare the
// two, because missing blocks are no error (AP 2).
//
// A query is also a stream, which follows the chain through reorgs, for ever:
//
//	for e, err := range client.Follow(ctx, sql, amp.FollowOptions{Resume: cursors}) {
//		if err != nil {
//			return err
//		}
//		switch e := e.(type) {
//		case amp.Rows: // of blocks that are not complete yet
//			insert(e.Record)
//		case amp.Watermark: // everything up to the cursor has arrived
//			commit(e.Range.Cursor())
//		case amp.Undo: // nothing from a block on is valid
//			remove(e.From)
//		}
//	}
//
// A stream cares for its own connection. A batch query repeats nothing by itself,
// but for one call whose token was refused and could be refreshed. What to do about
// an error is said by its class, and the reasons stand with the rules in error.go.
//
// "AP n.n" in comments is a section of docs/amp-protocol.md, the reference for Amp's
// protocol.
package amp
