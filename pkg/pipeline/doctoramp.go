package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

const (
	slowHead  = time.Second      // that Amp takes to say which blocks it has
	oldHead   = 10 * time.Minute // of the newest block
	earlyHead = time.Minute      // by which its time may lie ahead
	headAsked = 3                // times
)

// examineSource looks at how fast Amp answers, and how old its newest block is.
func (c *checkup) examineSource(ctx context.Context, p *config.Pipeline, source *amp.Client, checked *plan.Checked) {
	var (
		shortest time.Duration
		head     []amp.Range
	)
	for n := range headAsked {
		began := time.Now()
		latest, err := source.Head(ctx, checked.Query.Head())
		if err != nil {
			c.refuse(partAmp, fmt.Errorf("ask %s for the head of source.query: %w", p.Source.Amp, err))
			return
		}
		head = latest
		if took := time.Since(began); n == 0 || took < shortest {
			shortest = took
		}
	}
	c.add(partAmp, answerFindings(shortest)...)
	if end := p.Range.MaxBlock; end != nil {
		head = slices.DeleteFunc(head, func(have amp.Range) bool { return have.Numbers.End >= *end }) // no newer one is wanted
	}
	c.add(partAmp, headFindings(head, time.Now())...)
}

// answerFindings judges how long Amp takes to say which blocks it has.
func answerFindings(took time.Duration) []sink.Finding {
	if took <= slowHead {
		return nil
	}
	return []sink.Finding{{
		Kind: sink.Speed,
		Text: fmt.Sprintf("Amp takes %s to say which blocks it has, and reading rows takes no less", progress.Duration(took)),
		Fix:  "look at how busy the Amp server is, and at the way to it; run ampipe near it",
	}}
}

// headFindings judges how old the newest block is that Amp has.
func headFindings(head []amp.Range, now time.Time) (all []sink.Finding) {
	for _, have := range head {
		if have.Numbers.Empty() {
			continue
		}
		if have.Timestamp.IsZero() {
			all = append(all, sink.Finding{
				Kind: sink.Unseen,
				Text: fmt.Sprintf("how old the newest block of %s is was not seen: Amp does not say its time", have.Network),
				Fix:  "compare it with a node of the chain",
			})
			continue
		}
		switch age := now.Sub(have.Timestamp); {
		case age < -earlyHead:
			all = append(all, sink.Finding{
				Kind: KindWarning,
				Text: fmt.Sprintf("the newest block of %s that Amp has is of %s from now: the clock of this machine is behind, "+
					"and what is said about delays is wrong", have.Network, progress.Duration(-age)),
				Fix: "set the clock by NTP",
			})
		case age > oldHead:
			all = append(all, sink.Finding{
				Kind: KindWarning,
				Text: fmt.Sprintf("the newest block of %s that Amp has, %s, is %s old: what is loaded can be no newer",
					have.Network, progress.Grouped(uint64(have.Numbers.Last())), progress.Duration(age)),
				Fix: "look at what extracts the chain into the tables of Amp, and at the clock of this machine",
			})
		}
	}
	return all
}
