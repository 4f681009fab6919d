package postgres

// openLock serialises the migrations of the schema ampipe in a database, in all
// processes. Nothing else is shared by tables that have nothing to do with each other.
const openLock int64 = 0x616d7069706530 // "ampipe0"

// openTableLock is the class of the locks that serialise opening a table, so that it
// is made, and truncated, exactly once. Their other half is a hash of its name.
const openTableLock int32 = 0x616d706f // "ampo"

// tableLock is the class of the locks of tables; their other half is the table's
// id. Who adds to a table holds it shared, who takes away holds it alone.
const tableLock int32 = 0x616d7069 // "ampi"

// migrations make the state schema. Each runs once, in order; they are never
// changed, only added to.
var migrations = []string{`
CREATE TABLE ampipe.tables (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name    text NOT NULL,
    table_name     text NOT NULL,
    pipeline       text NOT NULL,
    sink           text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    live_epoch     bigint,
    live_seq       bigint,
    live_start     bigint,
    cursor_network text,
    cursor_block   bigint,
    cursor_hash    bytea CHECK (octet_length(cursor_hash) = 32),
    UNIQUE (schema_name, table_name)
);
COMMENT ON TABLE ampipe.tables IS 'The tables that ampipe loads. Deleting a row makes ampipe forget what the table holds.';

CREATE TABLE ampipe.coverage (
    table_id integer   NOT NULL REFERENCES ampipe.tables ON DELETE CASCADE,
    blocks   int8range NOT NULL CHECK (NOT isempty(blocks)),
    parts    int4range NOT NULL DEFAULT '[0,2147483647)' CHECK (NOT isempty(parts)),
    batch    text,
    parts_of integer,
    CONSTRAINT coverage_whole_or_part CHECK ((parts = '[0,2147483647)') = (batch IS NULL) AND (batch IS NULL) = (parts_of IS NULL)),
    CONSTRAINT coverage_once EXCLUDE USING gist (int4range(table_id, table_id, '[]') WITH &&, blocks WITH &&, parts WITH &&)
);
COMMENT ON TABLE ampipe.coverage IS 'The blocks of each table that are committed. A row with a batch is part of one block.';
`, `
ALTER TABLE ampipe.tables ADD COLUMN unsaved bigint NOT NULL DEFAULT -1;
UPDATE ampipe.tables SET unsaved = coalesce((SELECT max(upper(blocks)) - 1 FROM ampipe.coverage WHERE table_id = id), -1);
COMMENT ON COLUMN ampipe.tables.unsaved IS 'The highest block that may have replaced a row by key that ampipe.replaced does not keep.';

CREATE TABLE ampipe.replaced (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_id    integer NOT NULL REFERENCES ampipe.tables ON DELETE CASCADE,
    block       bigint  NOT NULL,
    replaced_by bigint  NOT NULL,
    content     jsonb   NOT NULL
);
CREATE INDEX replaced_by ON ampipe.replaced (table_id, replaced_by);
COMMENT ON TABLE ampipe.replaced IS 'Rows that a row of a higher block replaced by key. They come back if that block is taken back.';
`, `
ALTER TABLE ampipe.coverage REPLICA IDENTITY FULL;
`, `
ALTER TABLE ampipe.tables ADD COLUMN adopting bigint;
COMMENT ON COLUMN ampipe.tables.adopting
	IS 'Rows that have been adopted so far, while a table that others have filled is being adopted. Else NULL.';
`}

// The statements that read and write the state. Parts of a block are numbered
// from 0; the last one reaches to 2147483647, so that all parts together are
// what a whole block is.
const (
	allParts = 1<<31 - 1

	readTable = `SELECT live_epoch, live_seq, live_start, cursor_network, cursor_block, cursor_hash FROM ampipe.tables WHERE id = $1`

	readCoverage = `SELECT lower(blocks), upper(blocks), lower(parts), upper(parts), batch, parts_of FROM ampipe.coverage
		WHERE int4range(table_id, table_id, '[]') && int4range($1, $1, '[]') AND blocks && int8range($2, $3)
		ORDER BY blocks, parts`

	dropCoverage = `DELETE FROM ampipe.coverage c USING unnest($2::bigint[], $3::integer[]) AS gone (block, part)
		WHERE c.table_id = $1 AND lower(c.blocks) = gone.block AND lower(c.parts) = gone.part`

	addCoverage = `INSERT INTO ampipe.coverage (table_id, blocks, parts, batch, parts_of)
		SELECT $1, int8range(b, e), int4range(p, q), batch, parts_of
		FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::integer[]) AS n (b, e, p, q, batch, parts_of)`

	writeLive = `UPDATE ampipe.tables SET live_epoch = $2, live_seq = $3, live_start = $4,
		cursor_network = $5, cursor_block = $6, cursor_hash = $7 WHERE id = $1`

	readUnsaved = `SELECT coalesce((SELECT unsaved FROM ampipe.tables WHERE id = $1), -1)`

	// No row of the table is of a higher block than those that are covered.
	writeUnsaved = `UPDATE ampipe.tables SET unsaved = greatest(unsaved, least($2::bigint, (SELECT max(upper(blocks)) - 1 FROM ampipe.coverage
		WHERE int4range(table_id, table_id, '[]') && int4range($1, $1, '[]')))) WHERE id = $1`

	pruneReplaced = `WITH gone AS (DELETE FROM ampipe.replaced WHERE table_id = $1 AND replaced_by < $2 RETURNING replaced_by),
		noted AS (UPDATE ampipe.tables SET unsaved = greatest(unsaved, (SELECT max(replaced_by) FROM gone)) WHERE id = $1
			AND EXISTS (SELECT FROM gone) RETURNING id)
		SELECT EXISTS (SELECT FROM gone) = EXISTS (SELECT FROM noted)`
)
