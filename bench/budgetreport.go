package main

import (
	"fmt"
	"strings"
	"time"
)

func (r *report) writeBudget(b *strings.Builder) {
	if len(r.budget) == 0 {
		return
	}
	b.WriteString("## Budget\n\nCPU seconds, user and system, for a million rows. *Other side* is the server that is read from or " +
		"written to. Copied and allocated are bytes for each byte of the rows.\n\n" +
		"| stage | CPU | other side | copied | allocated | stands on | CPU | other side |\n" +
		"|---|--:|--:|--:|--:|---|--:|--:|\n")
	for _, s := range r.budget {
		copied, allocated := "", ""
		if s.copies > 0 {
			copied = number(s.copies)
		}
		if s.ours.allocated > 0 {
			allocated = number(s.perByte(s.ours.allocated))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", s.name,
			s.seconds(s.ours.self), s.seconds(s.ours.other), copied, allocated, s.floor, s.seconds(s.base.self), s.seconds(s.base.other))
	}
	b.WriteString("\n")
}

// seconds writes CPU seconds per million rows; nothing if nothing was measured.
func (b budget) seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return number(b.perMillion(d))
}
