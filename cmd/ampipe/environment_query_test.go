package main

import "testing"

// lake is a configuration that loads all blocks of the development server's chain.
const lake = `
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake } } ]
`

func TestEnvironmentsOfTheQuery(t *testing.T) {
	t.Parallel()
	try(t, []environment{{
		name: "a column that does not exist",
		config: `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, adress FROM eth.logs" }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake } } ]
`,
		says:   "No field named adress",
		mended: lake,
	}})
}
