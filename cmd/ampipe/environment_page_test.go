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
			name: "a token that can be guessed", config: text + `page: { listen: 127.0.0.1:0, token: secret }`,
			mended: text + `page: { listen: 127.0.0.1:0, token: 0123456789abcdef }`,
			says:   `page.token must have at least 16 characters; openssl rand -hex 16 makes one`,
		},
		{
			name: "a token that is not there", config: text + `page: { listen: 127.0.0.1:0, token_file: page.token }`,
			mends: func(s *site) { s.write("page.token", pageToken) },
			says:  `page.token_file: "page.token" cannot be read: no such file or directory`,
		},
		{
			name: "two pages", config: text + `page: 127.0.0.1:0` + second + `page: off`, mended: text + `page: 127.0.0.1:0` + second,
			says: `the pipelines of a file share one page, so name it once`,
		},
	})
}
