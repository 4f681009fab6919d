package main

import (
	"os"
	"strconv"
	"testing"
)

func TestPartitions(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	e := &env{dir: t.TempDir()}
	if err := loadPartitions(t.Context(), e, n); err != nil {
		t.Fatal(err)
	}
}
