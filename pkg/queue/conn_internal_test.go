package queue

import (
	"errors"
	"slices"
	"testing"
)

// TestAConnectionThatIsNotWantedAnyMore, because the consumer that it was for could not
// be opened, or was closed, is not lost: also if that is heard of later.
func TestAConnectionThatIsNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	var told []bool // whether a connection is lost
	l := testLog(t, ServerConfig{}, Config{OnState: func(reason error) { told = append(told, reason != nil) }})
	c := l.conn

	gone := errors.New("gone")
	consumer := &Consumer{log: l, sink: "warehouse", opts: ConsumeOptions{Lanes: -1, AckWait: -1}}
	c.onDisconnect(c.nc, gone)
	if err := consumer.open(t.Context()); err == nil { // NATS refuses such a consumer
		t.Fatal("the consumer is open")
	}
	c.onDisconnect(consumer.nc, gone)
	c.onReconnect(c.nc)
	other, err := c.dial()
	if err != nil {
		t.Fatal(err)
	}
	c.onDisconnect(other, gone)
	c.closeConn(other)
	if want := []bool{true, false, true, false}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
