package flightserver

import (
	"maps"
	"slices"

	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/pkg/amp"
)

// commonRanges is, for each network, what all tables of a query have in common.
// There is none if any table has no data. The range of tables that do not meet
// is inverted, and the time of a range is that of its first table (AP 2).
func commonRanges(uses []sqlengine.TableUse, snapshot sqlengine.Snapshots) []amp.Range {
	byNetwork := map[string]amp.Range{}
	for _, u := range uses {
		r, visible := snapshot(u.Table).Range()
		if !visible {
			return nil
		}
		have, seen := byNetwork[r.Network]
		if !seen {
			byNetwork[r.Network] = r
			continue
		}
		if r.Numbers.Start > have.Numbers.Start {
			have.Numbers.Start, have.Prev = r.Numbers.Start, r.Prev
		}
		if r.Numbers.End < have.Numbers.End {
			have.Numbers.End, have.Hash = r.Numbers.End, r.Hash
		}
		byNetwork[r.Network] = have
	}
	var ranges []amp.Range
	for _, network := range slices.Sorted(maps.Keys(byNetwork)) {
		ranges = append(ranges, byNetwork[network])
	}
	return ranges
}
