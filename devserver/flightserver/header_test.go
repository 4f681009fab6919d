package flightserver

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"google.golang.org/grpc/metadata"
)

func TestResumeHeader(t *testing.T) {
	digits := strings.Repeat("0aF3", 16)
	hash, err := block.ParseHash(digits)
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]Place{"anvil": {Number: 2, Hash: hash}}
	tests := map[string]map[string]Place{
		"":   nil,
		"x":  nil,
		"[]": nil,
		"{}": {},
		`{"anvil":{"number":2,"hash":"0x` + digits + `"}}`:                 place,
		`{"anvil":{"number":2,"hash":"` + digits + `","timestamp":3}}`:     place,
		`{"anvil":{"number":"2","hash":"0x` + digits + `"}}`:               nil,
		`{"anvil":{"number":2}}`:                                           nil,
		`{"anvil":{"number":2,"hash":"0x12"}}`:                             nil,
		`{"ranges":[{"network":"anvil","start":0,"end":2,"hash":"0x00"}]}`: nil,
	}
	for header, want := range tests {
		got := resumeHeader(metadata.Pairs("amp-resume", header))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %v, want %v", header, got, want)
		}
		ticket := Ticket{SQL: "SELECT 1", Streaming: true, Cursor: got}
		raw, err := ticket.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeTicket(raw); err != nil || !reflect.DeepEqual(back, ticket) {
			t.Errorf("%+v comes back as %+v (%v)", ticket, back, err)
		}
	}
}
