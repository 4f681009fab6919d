package pipeline

import (
	"fmt"
	"slices"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// destinationOf returns the index of the destination that a sink is of, or -1.
func (o Options) destinationOf(s config.Sink) int {
	return slices.IndexFunc(o.Destinations, func(d sink.Destination) bool { return d.Owns(s) })
}

// newWriter returns a writer of the sink by the destination that it is of. What is wrong
// with the configuration is exit code 2.
func newWriter(o Options, s config.Sink) (sink.Writer, error) {
	i := o.destinationOf(s)
	if i < 0 {
		return nil, fault.Permanent(fmt.Errorf("sink %q: %w", s.Name, notBuilt(s)))
	}
	w, err := o.Destinations[i].New(s)
	return w, ops.Config(err)
}

// sinksHere returns the sinks of a pipeline whose destinations this program was built
// with.
func (o Options) sinksHere(p *config.Pipeline) []config.Sink {
	return slices.DeleteFunc(slices.Clone(p.Sinks), func(s config.Sink) bool { return o.destinationOf(s) < 0 })
}

// sinksElsewhere returns the other sinks, which are left to the programs that have their
// destinations.
func (o Options) sinksElsewhere(p *config.Pipeline) []config.Sink {
	return slices.DeleteFunc(slices.Clone(p.Sinks), func(s config.Sink) bool { return o.destinationOf(s) >= 0 })
}

// notBuilt is the error of a sink whose destination this program was built without.
func notBuilt(s config.Sink) error {
	return fmt.Errorf("this program was built without the destination %q", s.Kind())
}

// checkReach returns a permanent error if a sink is left to another program, which cannot
// reach the log.
func (o Options) checkReach(p *config.Pipeline) error {
	for _, s := range o.sinksElsewhere(p) {
		if p.NATS.Embedded != "" {
			return fault.Permanent(fmt.Errorf("sink %q: %w, and no other program can reach nats.embedded: "+
				"set nats.url, and run the program that has it beside this one", s.Name, notBuilt(s)))
		}
	}
	return nil
}

// checkSinks returns why the sinks of a pipeline cannot be run, as far as the configuration
// alone says it.
func (o Options) checkSinks(p *config.Pipeline) error {
	err := o.checkReach(p)
	if err != nil {
		return err
	}
	for _, s := range o.sinksHere(p) {
		_, err := newWriter(o, s)
		if err != nil {
			return err
		}
	}
	return nil
}
