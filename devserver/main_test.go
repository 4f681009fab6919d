package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/devserver/faults"
	"google.golang.org/grpc/codes"
)

func TestFlags(t *testing.T) {
	o, err := parse(strings.Fields("--chain ns/eth@1.2.0 --blocks 50 --start 7 --logs-per-block 3 --txs 2 --skew 0.9/0.1 " +
		"--network base --latency 5ms --status doget:UNAVAILABLE:3:try:later --head 40 --drop-after 2 --max-rows 9 --shuffle " +
		"--live --block-time 2s --reorg-every 9 --reorg-depth 1-300/4 --window 50 --keep-alive 1s --lag logs=2 --lag blocks=1 --slow 7ms"))
	if err != nil {
		t.Fatal(err)
	}
	d, logs, found := o.Catalog.Find("ns/eth@1.2.0", "logs")
	if !found {
		t.Fatal("the table is not there")
	}
	r, found := logs.Source.Snapshot().Range()
	if !found || r.Network != "base" || d.Network != "base" || r.Numbers.Start != 7 || r.Numbers.Len() != 50 {
		t.Errorf("the range is %+v", r)
	}
	f := o.Faults
	if f.Latency != faults.Duration(5*time.Millisecond) || f.Head == nil || *f.Head != 40 || f.DropAfter != 2 || f.MaxRows != 9 || !f.Shuffle {
		t.Errorf("the faults are %+v", f)
	}
	if f.Lag["logs"] != 2 || f.Lag["blocks"] != 1 || f.Slow != faults.Duration(7*time.Millisecond) {
		t.Errorf("the faults are %+v", f)
	}
	if o.Streaming.Window != 50 || o.Streaming.KeepAlive != time.Second || len(o.Miners) != 1 {
		t.Errorf("streams are %+v", o.Streaming)
	}
	if s := f.Status; s == nil || s.At != "doget" || s.Code != faults.Code(codes.Unavailable) || s.Times != 3 || s.Text != "try:later" {
		t.Errorf("the status is %+v", s)
	}
}

func TestFlagsRefused(t *testing.T) {
	for _, args := range []string{
		"", "--chain x extra", "--chain x@", "--chain x --skew 2/3", "--chain x --genesis today", "--chain x --log loud",
		"--parquet x", "--parquet x=/nowhere", "--chain x --status info", "--chain x --status info:NOPE", "--chain x --head -1",
		"--chain x --logs-per-block 5 --txs 0", "--nope",
		"--chain x --reorg-every 3", "--parquet x=. --live", "--chain x --live --reorg-depth 0", "--chain x --lag logs",
	} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
