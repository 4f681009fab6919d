package main

import (
	"os/exec"
	"testing"
)

// TestPeakIsOfTheProcessAlone starts a small process from a large one.
func TestPeakIsOfTheProcessAlone(t *testing.T) {
	large := make([]byte, 300<<20)
	for i := 0; i < len(large); i += 4096 {
		large[i] = 1 // so that it is resident
	}
	p, err := start(t.Context(), exec.Command("sleep", "0.2"))
	must(t, err)
	peak, err := p.peakUntilEnd()
	must(t, err)
	if peak == 0 || peak > 100<<20 {
		t.Errorf("the peak is %.0f MiB", mib(peak))
	}
	if large[0] != 1 {
		t.Error("it is gone")
	}
}
