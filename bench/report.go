package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report collects results.
type report struct {
	options
	scale             scale
	machine           machine
	copyRow, arrowRow float64 // bytes of a row
	started           time.Time
	took              time.Duration
	results
}

// results are what measurements have given.
type results struct {
	comparisons []comparison
	peaks       []peaks
	delays      []delay
	scalings    []scaling
	costs       []limit // of partitions
	lives       []limit // of the live chain
	budget      []budget
	notes       []string
}

// add takes what compare returns.
func (r *report) add(c comparison, err error) error {
	if err == nil {
		r.comparisons = append(r.comparisons, c)
	}
	return err
}

// addKnown takes what compare returns of a demand that is known to be missed: it fails below
// the floor.
func (r *report) addKnown(floor float64, c comparison, err error) error {
	c.floor = floor
	return r.add(c, err)
}

// note adds a sentence for the reader.
func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// live adds a figure of the live chain.
func (r *report) live(l limit) {
	l.print()
	r.lives = append(r.lives, l)
}

func (r *report) finish() { r.took = time.Since(r.started) }

// join adds the results of another report.
func (r *results) join(more results) {
	r.comparisons = append(r.comparisons, more.comparisons...)
	r.peaks = append(r.peaks, more.peaks...)
	r.delays = append(r.delays, more.delays...)
	r.scalings = append(r.scalings, more.scalings...)
	r.costs = append(r.costs, more.costs...)
	r.lives = append(r.lives, more.lives...)
	r.budget = append(r.budget, more.budget...)
	r.notes = append(r.notes, more.notes...)
}

// judged is a result that something is demanded of.
type judged interface {
	missed() bool // the demand is not met
	failed() bool // nor is what it is known to be missed by
	summary() string
}

// unmet returns the summaries of what does not meet its demand.
func (r *results) unmet() []string {
	return slices.Concat(unmet(r.comparisons), unmet(r.peaks), unmet(r.delays), unmet(r.scalings), unmet(r.costs), unmet(r.lives))
}

func unmet[T judged](results []T) (texts []string) {
	for _, result := range results {
		if result.failed() {
			texts = append(texts, result.summary())
		}
	}
	return texts
}

// write writes the Markdown.
func (r *report) write(file string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of %s\n\n", r.started.Format(time.DateOnly))
	if r.smoke {
		b.WriteString("**Smoke test.** These sizes only show that everything runs. No ratio means anything.\n\n")
	}
	r.writeMachine(&b)
	r.writeRatios(&b)
	r.writeBudget(&b)
	r.writePeaks(&b)
	r.writeLimits(&b, "The live chain", r.lives)
	r.writeDelays(&b)
	r.writeScalings(&b)
	r.writeLimits(&b, "What partitions cost", r.costs)
	for _, note := range r.notes {
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	b.WriteString("[README.md](README.md) tells what each line is, and how to repeat it.\n")
	if file == "" {
		_, err := os.Stdout.WriteString(b.String())
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

func (r *report) writeMachine(b *strings.Builder) {
	m := r.machine
	for _, row := range [][2]string{
		{"", ""}, {"---", "---"},
		{"machine", fmt.Sprintf("%s, %s, %s; everything on this machine, over loopback", m.processor, m.memory, m.system)},
		{"source", fmt.Sprintf("revision %s, %s, %s", r.commit, runtime.Version(), strings.Join(m.modules, ", "))},
		{"PostgreSQL", m.postgres + "; " + m.settings},
		{"rows", fmt.Sprintf("synthetic logs, %d a block, 13 columns: %.0f bytes a row in COPY binary, %.0f in Arrow",
			rowsPerBlock, r.copyRow, r.arrowRow)},
		{"table", "logged, primary key (block_num, log_index), BRIN on _block_num; emptied, with a checkpoint, before each turn"},
		{"run", fmt.Sprintf("%s, %s, load %s at the end; the median of %d pairs, taken in turns",
			r.started.UTC().Format(time.DateTime+" MST"), r.took.Round(time.Second), load(), r.scale.pairs)},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", row[0], row[1])
	}
	b.WriteString("\n")
}

func (r *report) writeRatios(b *strings.Builder) {
	b.WriteString("## Ratios\n\n" +
		"| what | rows | rows/s | against | rows/s | ratio | each pair | demand | |\n" +
		"|---|--:|--:|---|--:|--:|---|--:|---|\n")
	for _, c := range r.comparisons {
		ours, base := c.rates()
		each := make([]string, len(c.pairs))
		for i, ratio := range c.ratios() {
			each[i] = number(ratio)
		}
		demand, verdict := "", ""
		if c.demand > 0 {
			demand, verdict = c.judge().demand(), r.verdict(c)
		}
		fmt.Fprintf(b, "| %s: %s | %s | %s | %s | %s | **%s** | %s | %s | %s |\n", c.what, c.ours, thousands(float64(c.pairs[0][0].rows)),
			thousands(ours), c.base, thousands(base), number(c.ratio()), strings.Join(each, " "), demand, verdict)
	}
	b.WriteString("\n")
}

func (r *report) writePeaks(b *strings.Builder) {
	if len(r.peaks) == 0 {
		return
	}
	fmt.Fprintf(b, "## Peak memory\n\n| process | %s rows | %s rows | growth | allowed | stated | |\n|---|--:|--:|--:|--:|--:|---|\n",
		thousands(float64(r.scale.memory[0])), thousands(float64(r.scale.memory[1])))
	for _, p := range r.peaks {
		small, large := p.medians()
		stated := fmt.Sprintf("≤ %.0f MiB", mib(p.stated))
		if p.worst > 0 {
			stated += fmt.Sprintf(" (%.0f)", mib(p.worst))
		}
		fmt.Fprintf(b, "| %s | %.0f MiB | %.0f MiB | %.2f | ≤ %.2f | %s | %s |\n",
			p.process, mib(small), mib(large), large/small, growth, stated, r.verdict(p))
	}
	b.WriteString("\n")
}

func (r *report) writeDelays(b *strings.Builder) {
	if len(r.delays) == 0 {
		return
	}
	b.WriteString("## Latency of the live chain\n\nFrom a block's being visible in Amp, one a second, " +
		"to its being heard of by the extractor, stored in the log, received by the sink, " +
		"to the beginning of its transaction, and to its commit: median / 99 %.\n\n" +
		"| sink | beside | rows a block | heard | published | pulled | begun | committed | demand | |\n" +
		"|---|---|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, d := range r.delays {
		fmt.Fprintf(b, "| %s | %s | %d ", d.sink, d.beside, d.rows)
		for _, t := range d.hops {
			fmt.Fprintf(b, "| %s ", t)
		}
		demand := "≤ " + inMilliseconds(d.median, d.p99)
		if d.worst[0] > 0 {
			demand += " (" + inMilliseconds(d.worst[0], d.worst[1]) + ")"
		}
		fmt.Fprintf(b, "| %s ms | %s |\n", demand, r.verdict(d))
	}
	b.WriteString("\n")
}

func (r *report) verdict(result judged) string {
	switch {
	case r.smoke:
		return "not judged"
	case result.failed():
		return "**fails**"
	case result.missed():
		return "misses"
	default:
		return "passes"
	}
}

// number writes a ratio: two decimals below ten, one above.
func number(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.2f", n)
	}
	return fmt.Sprintf("%.1f", n)
}

// thousands writes a count with its thousands apart.
func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}
