package queue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestALargeBlock is published in one step if the configuration says that it may be.
func TestALargeBlock(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	c := mustConn(t)
	large := parts(5, 10, 7<<20)
	usual := mustLog(t, c, 1<<30)
	_, err := usual.Publish(ctx, "p.0.0", 0, "id", large)
	refused, is := errors.AsType[*queue.BlockTooLargeError](err)
	if !is || refused.Block != 5 || fault.Of(err) != fault.ClassPermanent {
		t.Fatalf("%v", err)
	}
	if want := "block 5 takes 70 MiB in 10 messages, and a block may take 64 MiB in 1000 messages: raise log.max_block_bytes to 71MiB, or leave"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	_, err = usual.Publish(ctx, "p.0.0", 0, "id", parts(5, 1001, 1<<10))
	if err == nil || !strings.Contains(err.Error(), "raise max_payload of the NATS server, which is 8 MiB, or") {
		t.Errorf("too many messages: %v", err)
	}
	raised, err := c.Log(ctx, "pipe", queue.LogConfig{MaxBytes: 1 << 30, MaxBlock: 71 << 20})
	must(t, err)
	if _, err := raised.Publish(ctx, "p.0.0", 0, "id", large); err != nil {
		t.Errorf("with what is advised: %v", err)
	}
	if _, err := c.CheckRoom(ctx, "pipe", queue.Needs{LogBytes: 1 << 30, BlockBytes: c.BlockLimit() + 1}); err == nil || !strings.Contains(err.Error(), "lower log.max_block_bytes to") {
		t.Errorf("more than NATS takes in one step: %v", err)
	}
}
