package freeport_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/ampipe/ampipe/pkg/freeport"
)

// TestTakeReturnsEachPortOnce takes so many ports that drawing them freely would return one
// of them twice.
func TestTakeReturnsEachPortOnce(t *testing.T) {
	taken := map[int]bool{}
	for range 400 {
		port := freeport.Take(t)
		if taken[port] {
			t.Fatalf("port %d was returned twice", port)
		}
		taken[port] = true
	}
	for port := range taken {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }() // nothing was accepted
	}
}
