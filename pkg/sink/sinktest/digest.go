package sinktest

import (
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

var digestCases = []testCase{{"digests tell what differs", digests}}

// digests compares what a destination holds with its source, and with a source
// that is not quite the same.
func digests(b *env, w sink.Writer) {
	d, ok := w.(sink.Digester)
	if !ok {
		b.Log("this destination cannot be verified")
		return
	}
	if want := len(b.setup.Key) == 0 || slices.Contains(b.setup.Key, "block_num"); d.Windowed() != want {
		b.Errorf("Windowed is %v with the key %q", d.Windowed(), b.setup.Key)
	}
	whole := span(0, 60)
	b.apply(w, shuffled(b.random(), cut(whole, 7))...)

	stored := func(r block.Range) sink.Digests { return storedDigests(b, d, r) }
	source := func(rows []Row) sink.Digests { return b.digests(d, rows) }
	rows := chain(whole, 0)
	if got, want := stored(whole), source(rows); !maps.Equal(got, want) {
		b.Errorf("the destination has the digests %v, its source %v", got, want)
	}
	if window := span(20, 31); d.Windowed() {
		if got, want := stored(window), source(chain(window, 0)); !maps.Equal(got, want) {
			b.Errorf("blocks %v have the digests %v, their source %v", window, got, want)
		}
	}
	var n uint64
	for _, one := range stored(whole) {
		n += one.Rows
	}
	if n != uint64(len(rows)) {
		b.Errorf("digests of %d rows, want %d", n, len(rows))
	}
	for i := range rows {
		other := slices.Clone(rows)
		other[i].Value++
		if maps.Equal(stored(whole), source(other)) {
			b.Errorf("a changed value of row %+v makes no difference", rows[i])
		}
		if i == 10 {
			break
		}
	}
	if maps.Equal(stored(whole), source(rows[1:])) {
		b.Error("a missing row makes no difference")
	}
	if len(b.setup.Key) == 0 && maps.Equal(stored(whole), source(append(rows[:1:1], rows...))) {
		b.Error("a doubled row makes no difference")
	}
}

// digests returns those of rows, which come in other records than they were applied in.
func (b *env) digests(d sink.Digester, rows []Row) sink.Digests {
	b.Helper()
	source := d.DigestSource()
	for some := range slices.Chunk(rows, 11) {
		for _, rec := range records(b.mem, some) {
			err := source.Add(rec)
			rec.Release()
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return source.Digests()
}
