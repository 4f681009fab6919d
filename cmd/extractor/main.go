// Command extractor is one stage of a pipeline as a process of its own.
package main

import (
	"os"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

const long = `Takes partitions from the queue, one for each worker, until it is stopped. Any
number of extractors may run; one that is killed is replaced by the others.`

func main() {
	cli.SaveMemory(cli.CollectExtractor)
	os.Exit(cli.Stage("extractor [PIPELINE]", "Read partitions from Amp and append them to the log", long, nil, pipeline.RunExtractor))
}
