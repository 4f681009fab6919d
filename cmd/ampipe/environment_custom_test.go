package main

import "testing"

// Environments of a destination that this program was built without.

const customSink = `pipeline: p
source: { amp: $AMP, query: "SELECT _block_num, log_index, address FROM eth.logs" }
range: { max_block: 30 }
nats: { embedded: $DIR/nats }
sinks:
  - { name: lake, delta: { path: $DIR/lake } }
`

func TestEnvironmentsOfCustomSinks(t *testing.T) {
	t.Parallel()
	try(t, []environment{
		{
			name:   "nobody can reach the log",
			config: customSink + "  - { name: local, custom: { kind: sqlite, path: $DIR/x.db, password: \"${NOT_SET}\" } }\n",
			says:   `sink "local": this program was built without the destination "sqlite", and no other program can reach nats.embedded`,
			mended: customSink,
		},
		{
			name:   "a word that cannot be",
			config: customSink + "  - { name: local, custom: { kind: my sqlite } }\n",
			says:   `sinks[1].custom.kind must be 1 to 64 letters`,
			mended: customSink,
		},
	})
}
