package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/pkg/block"
)

// faultFlags lets the switches be set from the start.
func faultFlags(fs *flag.FlagSet, s *faults.Switches) {
	fs.TextVar(&s.Latency, "latency", faults.Duration(0), "added to every call, such as 50ms")
	fs.Int64Var(&s.Bandwidth, "bandwidth", 0, "bytes per second of each stream; 0 is no limit")
	fs.IntVar(&s.DropAfter, "drop-after", 0, "cut the connection of a stream after so many batches")
	fs.IntVar(&s.DropEvery, "drop-every", 0, "cut only every k-th stream")
	const statusUsage = "`AT:CODE[:TIMES[:TEXT]]`: answer info or doget with a gRPC status, such as doget:UNAVAILABLE:3"
	fs.Func("status", statusUsage, func(text string) error {
		status, err := parseStatus(text)
		s.Status = status
		return err
	})
	fs.Func("head", "hide the blocks above `N`", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 63)
		head := block.Number(n)
		s.Head = &head
		return err
	})
	fs.Func("lag", "`TABLE=N`: hide the last N blocks of a table (repeatable)", func(text string) error {
		name, blocks, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(blocks, 10, 63)
		if s.Lag == nil {
			s.Lag = map[string]uint64{}
		}
		s.Lag[name] = n
		return err
	})
	fs.TextVar(&s.Slow, "slow", faults.Duration(0), "time that a microbatch executes before its first row")
	fs.BoolVar(&s.Shuffle, "shuffle", false, "mix the rows of queries without ORDER BY")
	fs.BoolVar(&s.Unsorted, "unsorted", false, "mix the rows of all queries")
	fs.Int64Var(&s.Oversize, "oversize", 0, "send messages of at least so many bytes")
	fs.BoolVar(&s.HoldBack, "hold-back", false, "send no row of an ordered query before all are read")
	fs.Uint64Var(&s.MaxRows, "max-rows", 0, "refuse queries over more rows with RESOURCE_EXHAUSTED")
	fs.Uint64Var(&s.MaxBlocks, "max-blocks", 0, "refuse queries over more blocks with RESOURCE_EXHAUSTED")
}

func parseStatus(text string) (*faults.Status, error) {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) < 2 {
		return nil, fmt.Errorf("%q is not AT:CODE[:TIMES[:TEXT]]", text)
	}
	s := &faults.Status{At: parts[0], Text: "on request"}
	if err := s.Code.UnmarshalText([]byte(parts[1])); err != nil {
		return nil, err
	}
	if len(parts) > 2 {
		var err error
		if s.Times, err = strconv.Atoi(parts[2]); err != nil {
			return nil, fmt.Errorf("%q is not a number of calls", parts[2])
		}
	}
	if len(parts) > 3 {
		s.Text = parts[3]
	}
	return s, nil
}
