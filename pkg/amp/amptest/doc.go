// Package amptest is a scripted Amp server for tests. It speaks Flight over a real
// socket, answers each query as the test says, and lets a test inject a fault into
// the next query: refused, cut off, delayed, short, too large. It also replays
// what was recorded from a real server, byte for byte, and answers streams over a
// [Chain] that grows and forks, made up or recorded ([History]).
//
//	srv := amptest.Start(t, nil)
//	srv.On("SELECT 1", amptest.Batch(schema, ranges, rows))
//	srv.Next(func(amptest.Query) amptest.Fault { return amptest.CutAfter(3) })
//	client, err := amp.Open(ctx, amp.Config{URL: srv.URL()})
//
// Everything here is for tests only.
package amptest
