package amp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(10, 20, 0)...)
	chain.Extend(made(15, 22, 1)...)
	for n := block.Number(11); n <= 22; n++ {
		got, err := client.Probe(t.Context(), query, amptest.Network, n)
		if err != nil || got != chain.At(n-1) {
			t.Errorf("block %d: %v, %v", n, got, err)
		}
	}
	for _, request := range srv.Requests() {
		<-request.Done // the probe has left the stream
	}
	// It is where a stream continues.
	cursor, err := client.Probe(t.Context(), query, amptest.Network, 20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := follow(t.Context(), t, client, amp.FollowOptions{Resume: []block.Cursor{cursor}}, 1)
	if err != nil || got != "rows 1 of 20-22" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestProbeOfSilence(t *testing.T) {
	t.Parallel()
	simulated(t, func(t *testing.T, chain *amptest.Chain, _ *amptest.Server, client *amp.Client, _ *pipes) {
		chain.Extend(made(10, 20, 0)...)
		for _, at := range []block.Number{5, 21, 1000} {
			for _, deadline := range []time.Duration{time.Hour, time.Second} {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				began := time.Now()
				_, err := client.Probe(ctx, query, amptest.Network, at)
				if took := time.Since(began); !errors.Is(err, amp.ErrUnanswered) || fault.Of(err) != fault.ClassLater || took > 61*time.Second {
					t.Errorf("block %d, after %v: %v (%v)", at, took, err, fault.Of(err))
				}
				cancel()
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := client.Probe(ctx, query, amptest.Network, 21); !errors.Is(err, cause) || errors.Is(err, amp.ErrUnanswered) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestProbeIsRefused(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	for text, code := range map[string]codes.Code{
		"invalid query: non-incremental queries are not supported for streaming, query contains non-incremental operation: Aggregate":                                                      codes.InvalidArgument,
		"streaming query execution error | Caused by: failed to resolve raw dataset from dependencies -> multiple networks in dependency tree: a and b":                                    codes.Internal,
		"streaming query execution error | Caused by: failed to propagate _block_num column in query plan -> selecting `_block_num` from a multi-table context (e.g. a join) is ambiguous": codes.Internal,
		"streaming query execution error | Caused by: failed to resolve blocks table for network -> 'blocks' table not found in dataset 'solana'":                                          codes.Internal,
		"streaming query execution error | Caused by: cross-network join":                                                                                                                  codes.Internal,
	} {
		srv.On(query, amptest.Answer{Schema: amptest.Schema, RefuseGet: amptest.Status(code, text)})
		_, err := client.Probe(t.Context(), query, amptest.Network, 5)
		reason := text[strings.LastIndex(text, " ")+1:]
		if !errors.Is(err, amp.ErrNotStreamable) || fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v (%v)", err, fault.Of(err))
		}
	}
}

func TestProbeOfWrongAnswers(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	other, unnamed := amptest.Range(block.Closed(5, 9), 0), amptest.Range(block.Closed(5, 9), 0)
	other.Network = "mainnet"
	unnamed.Prev = block.Hash{}
	at := func(ranges ...amp.Range) amptest.Answer {
		return amptest.Answer{Schema: amptest.Schema, Hold: true, Parts: []amptest.Part{{Metadata: amp.Metadata{Ranges: ranges}}}}
	}
	for name, c := range map[string]struct {
		answer amptest.Answer
		want   error
		class  fault.Class
	}{
		"the stream from its beginning": {at(amptest.Range(block.Closed(0, 9), 0)), amp.ErrCursorIgnored, fault.ClassPermanent},
		"another network":               {at(other), amp.ErrOtherNetwork, fault.ClassPermanent},
		"two networks":                  {at(amptest.Range(block.Closed(5, 9), 0), other), amp.ErrNetworks, fault.ClassPermanent},
		"no block before":               {at(unnamed), amp.ErrNoPrev, fault.ClassPermanent},
		"no data":                       {amptest.Batch(amptest.Schema, nil), amp.ErrNoData, fault.ClassLater},
		"an end":                        {amptest.Answer{Schema: amptest.Schema}, amp.ErrIncomplete, fault.ClassAgain},
	} {
		srv.On(query, c.answer)
		_, err := client.Probe(t.Context(), query, amptest.Network, 5)
		if !errors.Is(err, c.want) || fault.Of(err) != c.class {
			t.Errorf("%s: %v (%v)", name, err, fault.Of(err))
		}
	}
	for _, impossible := range []func() (block.Cursor, error){
		func() (block.Cursor, error) { return client.Probe(t.Context(), query, amptest.Network, 0) },
		func() (block.Cursor, error) { return client.Probe(t.Context(), query, "", 5) },
	} {
		before := len(srv.Requests())
		if _, err := impossible(); fault.Of(err) != fault.ClassPermanent || len(srv.Requests()) != before {
			t.Errorf("%v", err)
		}
	}
}
