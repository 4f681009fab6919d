package main

import (
	"os"
	"strconv"
	"testing"
)

func TestPartitions(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	e := &env{dir: t.TempDir(), scale: scale{partitions: [2]int{n / 10, n}}}
	r := &report{}
	if err := measurePartitions(t.Context(), e, r); err != nil {
		t.Fatal(err)
	}
}
