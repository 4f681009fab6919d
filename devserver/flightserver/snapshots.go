package flightserver

import (
	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
)

// snapshots returns the tables as one query sees them: those of one chain at one
// moment, others frozen when they are first asked for, with their last blocks
// hidden by the switches.
func (s *Server) snapshots(switches faults.Switches, moments ...moment) sqlengine.Snapshots {
	at := map[table.Chain]table.Moment{}
	for _, m := range moments {
		at[m.of] = m.now
	}
	taken := map[*table.Table]table.Snapshot{}
	return func(t *table.Table) table.Snapshot {
		if taken[t] != nil {
			return taken[t]
		}
		if timed, is := t.Source.(table.Timed); is && t.Chain != nil {
			if at[t.Chain] == nil {
				at[t.Chain], _ = t.Chain.Now()
			}
			taken[t] = timed.At(at[t.Chain])
		} else {
			taken[t] = t.Source.Snapshot()
		}
		taken[t] = hide(taken[t], switches, t.Name)
		return taken[t]
	}
}

// moment is a chain and what it was when a query began.
type moment struct {
	of  table.Chain
	now table.Moment
}

// hide cuts off the blocks that the switches hide.
func hide(s table.Snapshot, switches faults.Switches, name string) table.Snapshot {
	if switches.Head != nil {
		s = s.Until(*switches.Head)
	}
	lag := switches.Lag[name]
	if r, found := s.Range(); found && lag > 0 {
		lag = min(lag, r.Numbers.Len()-1)
		s = s.Until(r.Numbers.Last() - block.Number(lag))
	}
	return s
}
