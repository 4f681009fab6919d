// Package freeport picks the ports of servers that tests start in processes of their own.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Take returns a loopback port on which nothing listens, for a server that a test is about to
// start and may start again. Until the test ends no other call returns it, in this process or
// in another: a UDP socket of the same number is held for that long, which does not keep the
// server from the TCP port. Ports of this range are given neither to outgoing connections by
// the system, nor to other servers by scripts/free-port.
func Take(t testing.TB) int {
	t.Helper()
	var last error
	for range 1000 {
		port := 10_000 + rand.IntN(10_000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		held, err := net.ListenPacket("udp", address)
		if err != nil {
			last = err
			continue
		}
		if last = probe(address); last != nil {
			_ = held.Close() // nothing was received
			continue
		}
		t.Cleanup(func() { _ = held.Close() })
		return port
	}
	t.Fatalf("take a free port: %v", last)
	return 0
}

// probe checks that a server could listen at an address.
func probe(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}
