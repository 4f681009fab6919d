package main

import "testing"

// TestPageEnvironments has pages that cannot be served as the configuration has it.
func TestPageEnvironments(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: logs
source: { amp: $AMP, query: "SELECT * FROM eth.logs" }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake, max_commit_delay: 1s } } ]
`
	const second = `
---
pipeline: blocks
source: { amp: $AMP, query: "SELECT * FROM eth.blocks" }
range: { max_block: 40 }
sinks: [ { name: lake, delta: { path: ./blocks, max_commit_delay: 1s } } ]
`
	try(t, []environment{
		{
			name: "an address of another machine", config: text + `page: 192.0.2.1:8088`, mended: text + `page: 127.0.0.1:0`,
			says: `listen on "192.0.2.1:8088" for the page (page.listen): `,
		},
		{
			name: "no address", config: text + `page: false`, mended: text + `page: off`,
			says: `page.listen must be an address such as 127.0.0.1:8088, or off, not "false"`,
		},
		{
			name: "two pages", config: text + `page: 127.0.0.1:0` + second + `page: off`, mended: text + `page: 127.0.0.1:0` + second,
			says: `the pipelines of a file share one page, so name it once`,
		},
	})
}
