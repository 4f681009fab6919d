package pipeline

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// tableOf reads the schema of the plan and finds the block column in it.
func tableOf(spec state.Spec) (*arrow.Schema, int, error) {
	schema, err := entry.UnmarshalSchema(spec.Schema)
	if err != nil {
		return nil, 0, fmt.Errorf("read the schema of the plan: %w", err)
	}
	found := schema.FieldIndices(spec.BlockColumn)
	if len(found) == 0 {
		return nil, 0, fmt.Errorf("the plan names block column %q, which its schema does not have", spec.BlockColumn)
	}
	return schema, found[0], nil
}

// waiting returns a function that reports to the meter what is waited for.
func (s *stages) waiting(part string) func(error, time.Duration) {
	return func(err error, _ time.Duration) { s.meter.WaitingFor(kindOf(err), part, err.Error()) }
}
