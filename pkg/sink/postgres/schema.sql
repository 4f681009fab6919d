-- The schema ampipe, where a destination keeps what it has committed. Each "-- name:" is a
-- migration; each runs once, in order; they are never changed, only added to.

-- name: 1
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

-- name: 2
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

-- name: 3
ALTER TABLE ampipe.coverage REPLICA IDENTITY FULL;

-- name: 4
ALTER TABLE ampipe.tables ADD COLUMN adopting bigint;
COMMENT ON COLUMN ampipe.tables.adopting
    IS 'Rows that have been adopted so far, while a table that others have filled is being adopted. Else NULL.';

-- name: 5
ALTER TABLE ampipe.tables ADD COLUMN pruned bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ampipe.tables.pruned IS 'Blocks below have been pruned: they count as loaded, and none of their rows is there or comes.';
