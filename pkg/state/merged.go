package state

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
)

// Merged is what became of the partitions whose records were merged into one, which has
// their whole range and the sums of their rows and seconds.
type Merged struct {
	Partitions int    `json:"partitions"` // how many, its own included
	Generation int    `json:"generation"` // the highest of them
	Results    []byte `json:"results"`    // see [Partition.Parts]
}

// Count returns how many partitions the record stands for.
func (p Partition) Count() int {
	if p.Merged == nil {
		return 1
	}
	return p.Merged.Partitions
}

// Latest returns the highest generation of the partitions that the record stands for.
func (p Partition) Latest() int {
	if p.Merged == nil {
		return p.Generation
	}
	return max(p.Generation, p.Merged.Generation)
}

// Merge returns one record for partitions that are done, have the same version and cover a
// range without a gap. first is the one of them that begins it, and names the record. parts
// are in the order in which they were written.
func Merge(first Partition, parts []Partition) (Partition, error) {
	each, err := Separate(parts)
	if err != nil {
		return Partition{}, err
	}
	whole := Partition{Start: first.Start, Generation: first.Generation, State: first.State, Version: first.Version}
	whole.Merged = &Merged{Partitions: len(each)}
	near := whole.Start
	for _, p := range each {
		whole.Merged.Results = appendResult(whole.Merged.Results, p, near)
		near = p.End
		whole.Merged.Generation = max(whole.Merged.Generation, p.Generation)
		whole.End = max(whole.End, p.End)
		whole.Attempts = max(whole.Attempts, p.Attempts)
		whole.Rows += p.Rows
		whole.Seconds += p.Seconds
	}
	return whole, nil
}

// appendResult appends what became of a partition: where it begins, counted from a block
// near it, how many blocks it has, its generation, rows, microseconds and attempts.
func appendResult(to []byte, p Partition, near block.Number) []byte {
	to = binary.AppendVarint(to, int64(p.Start)-int64(near))
	for _, n := range []uint64{
		uint64(p.End - p.Start), uint64(p.Generation), p.Rows, uint64(math.Round(p.Seconds * 1e6)), uint64(p.Attempts),
	} {
		to = binary.AppendUvarint(to, n)
	}
	return to
}

// Parts returns the partitions that the record stands for, as they were before they were
// merged, but for their seconds, which are rounded to microseconds.
func (p Partition) Parts() ([]Partition, error) {
	if p.Merged == nil {
		return []Partition{p}, nil
	}
	parts := make([]Partition, 0, min(p.Merged.Partitions, len(p.Merged.Results)))
	near := p.Start
	for left := p.Merged.Results; len(left) > 0; {
		offset, n := binary.Varint(left)
		if n <= 0 {
			return nil, errDamagedResults(p)
		}
		left = left[n:]
		var numbers [5]uint64
		for i := range numbers {
			number, n := binary.Uvarint(left)
			if n <= 0 {
				return nil, errDamagedResults(p)
			}
			numbers[i], left = number, left[n:]
		}
		start := block.Number(int64(near) + offset)
		near = start + block.Number(numbers[0])
		parts = append(parts, Partition{
			Start: start, End: near, Generation: int(numbers[1]), State: p.State, Version: p.Version,
			Rows: numbers[2], Seconds: float64(numbers[3]) / 1e6, Attempts: int(numbers[4]),
		})
	}
	if len(parts) != p.Merged.Partitions {
		return nil, errDamagedResults(p)
	}
	return parts, nil
}

func errDamagedResults(p Partition) error {
	return fmt.Errorf("read what became of the partitions of blocks %v: "+
		"another version of ampipe has written it; use the same one for all processes", p.Range())
}

// name is what a partition is told from all others by.
type name struct {
	start      block.Number
	generation int
}

func (p Partition) name() name { return name{p.Start, p.Generation} }

// Separate returns all partitions as they were before records were merged, each once.
func Separate(records []Partition) ([]Partition, error) {
	all := make([]Partition, 0, len(records))
	seen := make(map[name]bool, len(records))
	for _, r := range records {
		each, err := r.Parts()
		if err != nil {
			return nil, err
		}
		for _, p := range each {
			if !seen[p.name()] {
				seen[p.name()] = true
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// WithoutMerged returns the records without those that are part of another one. They are
// there for a moment, or until a planner runs, if the one that merged them was killed.
func WithoutMerged(records []Partition) ([]Partition, error) {
	parts := map[name]bool{}
	for _, m := range records {
		within := func(p Partition) bool { return p.name() != m.name() && m.Range().Has(p.Start) }
		if m.Merged == nil || !slices.ContainsFunc(records, within) {
			continue
		}
		each, err := m.Parts()
		if err != nil {
			return nil, err
		}
		for _, p := range each {
			if p.name() != m.name() {
				parts[p.name()] = true
			}
		}
	}
	if len(parts) == 0 {
		return records, nil
	}
	return slices.DeleteFunc(slices.Clone(records), func(p Partition) bool { return parts[p.name()] }), nil
}
