// Command planner is one stage of a pipeline as a process of its own.
package main

import (
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

func main() {
	os.Exit(cli.Stage("planner [PIPELINE]", "Plan a pipeline and watch over it", `Checks the query, cuts the range into partitions, queues them, compares what every
sink has committed with what is wanted, and ends when nothing is missing.`, pipeline.RunPlanner))
}
