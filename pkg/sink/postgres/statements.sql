-- The statements of this destination. "-- name:" begins one; fields in braces are filled
-- in where it is used: {table} is the table that rows are loaded into, {block} its block
-- column, {columns} all of its columns; see statements.go.

-- name: read-live
-- Older versions of the schema do not have the last column.
SELECT live_epoch, live_seq, live_start, cursor_network, cursor_block, cursor_hash, coalesce((to_jsonb(t)->>'pruned')::bigint, 0)
    FROM ampipe.tables t WHERE id = $1

-- name: read-coverage
SELECT lower(blocks), upper(blocks), lower(parts), upper(parts), batch, parts_of FROM ampipe.coverage
    WHERE int4range(table_id, table_id, '[]') && int4range($1, $1, '[]') AND blocks && int8range($2, $3)
    ORDER BY blocks, parts

-- name: drop-coverage
DELETE FROM ampipe.coverage c USING unnest($2::bigint[], $3::integer[]) AS gone (block, part)
    WHERE c.table_id = $1 AND lower(c.blocks) = gone.block AND lower(c.parts) = gone.part

-- name: add-coverage
INSERT INTO ampipe.coverage (table_id, blocks, parts, batch, parts_of)
    SELECT $1, int8range(b, e), int4range(p, q), batch, parts_of
    FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::integer[]) AS n (b, e, p, q, batch, parts_of)

-- name: write-live
UPDATE ampipe.tables SET live_epoch = $2, live_seq = $3, live_start = $4,
    cursor_network = $5, cursor_block = $6, cursor_hash = $7 WHERE id = $1

-- name: write-pruned
UPDATE ampipe.tables SET pruned = $2 WHERE id = $1

-- name: ask-owner
SELECT pipeline, sink FROM ampipe.tables WHERE id = $1

-- name: read-unsaved
SELECT coalesce((SELECT unsaved FROM ampipe.tables WHERE id = $1), -1)

-- name: write-unsaved
-- No row of the table is of a higher block than those that are covered.
UPDATE ampipe.tables SET unsaved = greatest(unsaved, least($2::bigint, (SELECT max(upper(blocks)) - 1 FROM ampipe.coverage
    WHERE int4range(table_id, table_id, '[]') && int4range($1, $1, '[]')))) WHERE id = $1

-- name: prune-replaced
WITH gone AS (DELETE FROM ampipe.replaced WHERE table_id = $1 AND replaced_by < $2 RETURNING replaced_by),
    noted AS (UPDATE ampipe.tables SET unsaved = greatest(unsaved, (SELECT max(replaced_by) FROM gone)) WHERE id = $1
        AND EXISTS (SELECT FROM gone) RETURNING id)
    SELECT EXISTS (SELECT FROM gone) = EXISTS (SELECT FROM noted)

-- name: ask-server
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), current_database(), current_user,
    pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')

-- name: ask-schema
SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1

-- name: ask-state
SELECT pg_has_role(n.nspowner, 'USAGE'), has_schema_privilege(n.oid, 'USAGE') AND coalesce(bool_and(
        has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND
        has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')), true),
        has_schema_privilege(n.oid, 'USAGE') AND coalesce(bool_and(has_table_privilege(c.oid, 'SELECT')), true),
        coalesce(bool_or(c.relname = 'migrations'), false)
    FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname IN ('migrations', 'tables', 'coverage', 'replaced')
    WHERE n.nspname = 'ampipe' GROUP BY n.oid, n.nspowner

-- name: ask-steps
SELECT coalesce(max(step), 0) FROM ampipe.migrations

-- name: ask-entry
-- Older versions of the schema do not have the column.
SELECT id, pipeline, sink, to_jsonb(t)->>'adopting' IS NOT NULL FROM ampipe.tables t WHERE schema_name = $1
    AND table_name = $2

-- name: ask-table
SELECT c.oid, c.relkind::text, pg_has_role(c.relowner, 'USAGE'),
        array(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r WHERE has_table_privilege(c.oid, r))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2

-- name: ask-unique
SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
    GROUP BY i.indexrelid

-- name: ask-constraints
SELECT c.contype = 'p', c.conname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
    WHERE c.conrelid = $1 AND c.contype IN ('p', 'u', 'c', 'f', 'x') GROUP BY c.oid, c.contype, c.conname

-- name: ask-indexed
-- Partitions may each have an index of their own.
SELECT c.relkind = 'p' OR EXISTS (SELECT FROM pg_index i
        JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam JOIN pg_attribute a ON a.attrelid = c.oid
            AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'brin') AND a.attname = $2)
    FROM pg_class c WHERE c.oid = $1

-- name: ask-partitioning
-- Asks whether a table ($1) is divided by ranges of a column ($2) alone, and whether a
-- partition takes what no other does, and one is no plain table.
SELECT pg_get_partkeydef(partrelid) = format('RANGE (%I)', $2::text), partdefid <> 0,
        EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = partrelid AND c.relkind <> 'r')
    FROM pg_partitioned_table WHERE partrelid = to_regclass($1)

-- name: ask-partitions
-- Reads the partitions of a table ($1), with the bounds of those that are of a range of
-- numbers.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), m[1]::bigint, m[2]::bigint
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL regexp_match(replace(replace(pg_get_expr(c.relpartbound, c.oid), 'MINVALUE', '0'), 'MAXVALUE', '9223372036854775807'),
            '^FOR VALUES FROM \(''?(-?[0-9]+)''?\) TO \(''?(-?[0-9]+)''?\)$') AS m ON true
    WHERE i.inhparent = to_regclass($1) ORDER BY 3, 2

-- name: index-serves
-- Whether queries can use an index (i, x). That of a divided table is made valid by the last
-- part that is attached to it, and not by the removal of the partition that lacks one. It
-- serves as well then.
(i.indisvalid OR x.relkind = 'I' AND NOT EXISTS (SELECT FROM pg_inherits m WHERE m.inhparent = i.indrelid
            AND NOT EXISTS (SELECT FROM pg_inherits a JOIN pg_index part ON part.indexrelid = a.inhrelid
                WHERE a.inhparent = i.indexrelid AND part.indrelid = m.inhrelid AND part.indisvalid)))

-- name: ask-indexes
-- Reads the indexes of a table ($1) that a list of columns says all of.
SELECT x.oid, n.nspname::text, x.relname::text,
        array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts ORDER BY k.n),
        {serves}, coalesce((SELECT inhparent FROM pg_inherits WHERE inhrelid = x.oid), 0)
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = $1 AND m.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY x.relname

-- name: ask-members
SELECT c.oid, c.relkind::text, n.nspname::text, c.relname::text
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = $1
    ORDER BY length(c.relname), c.relname

-- name: ask-progress
-- Asks which index of a table ($1) or of its partitions is being built, by which process of
-- the server, and which share of its phase is done.
SELECT p.pid, x.relname::text, p.phase, least(1, coalesce(p.tuples_done::float8 / nullif(p.tuples_total, 0), p.blocks_done::float8 / nullif(p.blocks_total, 0), 0))
    FROM pg_stat_progress_create_index p JOIN pg_class x ON x.oid = p.index_relid
    WHERE p.datname = current_database()
        AND p.relid IN (SELECT to_regclass($1) UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1)) LIMIT 1

-- name: ask-hazards
-- Finds them on tables ($2) of a schema ($1). $3 says that rows are
-- updated, not only deleted.
WITH RECURSIVE family AS (
        SELECT c.oid, false AS partition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
            AND c.relname = ANY ($2)
        UNION SELECT i.inhrelid, true FROM family JOIN pg_inherits i ON i.inhparent = family.oid
    ), published AS (
        SELECT c.oid FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname
        JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
        WHERE p.pubdelete OR p.pubupdate AND $3
    ), found AS (
        SELECT format('%I.%I', n.nspname, c.relname) AS name, partition, c.relispartition AND c.relkind = 'f' AS foreign,
            CASE WHEN c.relispartition OR NOT partition THEN c.relpersistence::text ELSE 'p' END AS persistence,
            c.relkind = 'r' AND c.relreplident <> 'f'
                AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                    AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))
                AND EXISTS (SELECT FROM published WHERE oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_ancestors(c.oid))) AS mute
        FROM family JOIN pg_class c ON c.oid = family.oid JOIN pg_namespace n ON n.oid = c.relnamespace)
    SELECT name, partition, "foreign", persistence, mute FROM found WHERE "foreign" OR persistence <> 'p' OR mute ORDER BY partition, name

-- name: trigger-is-internal
-- Whether a trigger (t) is the server's own, of a constraint. So is, by its mark, the copy that
-- a partition has of a trigger of the table above it, until PostgreSQL 14.
(t.tgisinternal AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype <> 't'))

-- name: ask-hindrances
-- Finds them on tables ($2) of a schema ($1). The triggers of
-- partitions fire as well; their rules and their row security do not apply to
-- statements that name the table above them. What a trigger is a copy of is in pg_depend, as
-- PostgreSQL 12 has no tgparentid.
WITH RECURSIVE family AS (
        SELECT c.oid, true AS named FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY ($2)
        UNION SELECT i.inhrelid, false FROM family JOIN pg_inherits i ON i.inhparent = family.oid
    ), member AS (
        SELECT c.oid, named, format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relforcerowsecurity,
            CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END AS firing
        FROM family JOIN pg_class c ON c.oid = family.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    ), found AS (
        SELECT m.named, m.name AS relation, 'trigger' AS kind, t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition,
            CASE WHEN copied.from_oid IS NULL THEN format('DROP TRIGGER %I ON %s', t.tgname, m.name)
                ELSE format('ALTER TABLE %s DISABLE TRIGGER %I', m.name, t.tgname) || CASE WHEN t.tgisinternal THEN ' /* as a superuser */' ELSE '' END
                END AS remedy, t.tgtype AS events, false AS instead
        FROM member m JOIN pg_trigger t ON t.tgrelid = m.oid LEFT JOIN LATERAL (SELECT d.refobjid AS from_oid FROM pg_depend d
            WHERE d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = d.classid LIMIT 1) AS copied ON true
        WHERE NOT {internal} AND t.tgenabled IN ('A', m.firing)
            AND NOT EXISTS (SELECT FROM pg_trigger p JOIN member o ON o.oid = p.tgrelid WHERE p.oid = copied.from_oid)
        UNION ALL
        SELECT m.named, m.name, 'rule', r.rulename, pg_get_ruledef(r.oid),
            format('DROP RULE %I ON %s', r.rulename, m.name), CASE r.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 ELSE 8 END, r.is_instead
        FROM member m JOIN pg_rewrite r ON r.ev_class = m.oid WHERE m.named AND r.ev_type <> '1' AND r.ev_enabled IN ('A', m.firing)
        UNION ALL
        SELECT m.named, m.name, 'row security', '', coalesce('policies ' || (SELECT string_agg(polname, ', ' ORDER BY polname)
            FROM pg_policy WHERE polrelid = m.oid), 'no policy'),
            CASE WHEN m.relforcerowsecurity AND pg_has_role(m.relowner, 'USAGE') THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', m.name)
                ELSE format('ALTER ROLE %I BYPASSRLS', current_user) END, 0, false
        FROM member m WHERE m.named AND row_security_active(m.oid))
    SELECT relation, kind, name, definition, remedy, events, instead FROM found ORDER BY named DESC, kind, relation, name

-- name: ask-foreign-keys
-- Finds those that refer to a table ($1), once each: partitions have
-- copies of them.
SELECT c.conname, format('%I.%I', n.nspname, r.relname), n.nspname, r.relname,
        pg_get_constraintdef(c.oid), c.confdeltype::text,
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) AND a.attnotnull), c.conrelid = c.confrelid
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE c.contype = 'f' AND c.confrelid = to_regclass($1) AND c.conparentid = 0 ORDER BY 2, 1

-- name: ask-capacity
-- Asks how many connections there may be and are: of the server, without
-- those that are kept for administrators, of the database and of the role (-1: no
-- limit), and how many of them are of programs that have the name ($1) and the user of
-- this one. The limits of database and role are not for superusers.
WITH used AS (
        SELECT count(*) AS everywhere, count(*) FILTER (WHERE datname = current_database()) AS here,
            count(*) FILTER (WHERE usename = session_user) AS role,
            count(*) FILTER (WHERE usename = session_user AND datname = current_database() AND left(application_name, length($1::text)) = $1) AS own
        FROM pg_stat_activity WHERE datid IS NOT NULL
    ), limits AS (
        SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'max_connections')
            - (SELECT CASE WHEN r.rolsuper THEN 0 ELSE sum(setting::bigint) END FROM pg_settings
                WHERE name IN ('superuser_reserved_connections', 'reserved_connections')) AS everywhere,
            CASE WHEN r.rolsuper THEN -1 ELSE (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) END AS here,
            CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END AS role
        FROM pg_roles r WHERE r.rolname = session_user)
    SELECT current_database(), session_user::text, l.everywhere, u.everywhere, l.here::bigint, u.here, l.role::bigint, u.role,
        u.own FROM used u, limits l

-- name: examine-settings
-- Reads settings ($1) as a session of this user begins with them, without what this
-- transaction has set for itself.
SELECT name, coalesce(reset_val, ''), source = 'command line' FROM pg_settings WHERE name = ANY ($1)

-- name: examine-slots
SELECT slot_name::text, slot_type = 'logical', active, coalesce(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint
    FROM pg_replication_slots WHERE NOT temporary ORDER BY slot_name

-- name: examine-age
SELECT age(datfrozenxid)::bigint FROM pg_database WHERE datname = current_database()

-- name: examine-publications
-- Finds those of a table ($2) of a schema ($1), or of a partition of it, that publish new
-- rows and not their deletion, and which of these have no replica identity.
WITH RECURSIVE family AS (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
        UNION SELECT i.inhrelid FROM family JOIN pg_inherits i ON i.inhparent = family.oid)
    SELECT p.pubname::text, p.pubupdate, p.pubtruncate, array_remove(array_agg(CASE WHEN c.relkind = 'r' AND c.relreplident <> 'f'
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))
            THEN format('%I.%I', n.nspname, c.relname) END), NULL)
        FROM pg_publication p
        JOIN pg_publication_tables t ON t.pubname = p.pubname JOIN pg_namespace n ON n.nspname = t.schemaname
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename JOIN family ON family.oid = c.oid
    WHERE p.pubinsert AND NOT p.pubdelete GROUP BY p.oid, p.pubname, p.pubupdate, p.pubtruncate ORDER BY 1

-- name: examine-indexes
SELECT format('%I.%I', n.nspname, x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        JOIN pg_namespace n ON n.oid = x.relnamespace JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace m ON m.oid = c.relnamespace
    WHERE m.nspname = $1 AND c.relname = $2 AND NOT {serves}
        AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p LEFT JOIN pg_index b ON b.indexrelid = p.index_relid
            WHERE p.index_relid = x.oid OR b.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)) ORDER BY 1

-- name: examine-vacuum
-- Asks how the table ($2) of a schema ($1) and those of the schema ampipe ($3) are vacuumed.
SELECT format('%I.%I', n.nspname, c.relname), coalesce((SELECT option_value::boolean FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'autovacuum_enabled'), true), coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    WHERE c.relkind = 'r' AND (n.nspname = $1 AND c.relname = $2 OR n.nspname = 'ampipe' AND c.relname = ANY ($3)) ORDER BY 1

-- name: members
-- The table ($1) and its partitions.
member AS (
        SELECT to_regclass($1)::oid AS oid
        UNION ALL SELECT i.inhrelid FROM member m JOIN pg_class c ON c.oid = m.oid AND c.relkind = 'p' JOIN pg_inherits i ON i.inhparent = m.oid
    )

-- name: ask-guard
-- Asks which of the table ($1), its partitions and the tables of ampipe lose
-- their rows in a crash, and whether the table or a partition has triggers that may
-- change what is written: those of each row before it is or, if $2, any on INSERT. It
-- is asked after rows were written: nobody can add a trigger any more until the
-- transaction ends. pg_partition_tree would lock every partition, also those that
-- others work on.
WITH RECURSIVE {members}, part AS (SELECT array_agg(oid) AS oids FROM member)
    SELECT (SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
            WHERE c.oid = ANY ((SELECT oids FROM part) || ARRAY['ampipe.coverage'::regclass::oid, 'ampipe.replaced'::regclass])
                AND c.relpersistence <> 'p'),
        EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = ANY ((SELECT oids FROM part)::oid[]) AND NOT {internal} AND t.tgenabled <> 'D'
            AND (t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 OR $2 AND t.tgtype & 4 <> 0))

-- name: check-written
-- Fails unless what ask-guard ({guard}) asks is answered with no, and the state of the table
-- ($3) is what it is to be: the rows about the blocks of a window ($4, $5), which differ from
-- each other, and the live state. It stands before a COMMIT whose answer comes with its own.
-- The error is that a text is no number: the server writes it to its log, where it says what
-- happened. concat is not computed before it is needed, as a literal would be.
WITH guard (unlogged, altering) AS ({guard}),
    have AS (SELECT lower(blocks), upper(blocks), lower(parts), upper(parts), batch, parts_of FROM ampipe.coverage
        WHERE int4range(table_id, table_id, '[]') && int4range($3, $3, '[]') AND blocks && int8range($4, $5)),
    wanted AS (SELECT * FROM unnest($6::bigint[], $7::bigint[], $8::integer[], $9::integer[], $10::text[], $11::integer[]))
    SELECT CASE WHEN unlogged IS NULL AND NOT altering
        AND (SELECT count(*) FROM have) = (SELECT count(*) FROM wanted) AND NOT EXISTS (TABLE wanted EXCEPT TABLE have)
        AND EXISTS (SELECT FROM ampipe.tables WHERE id = $3
            AND (live_epoch, live_seq, live_start, cursor_network, cursor_block, cursor_hash)
                IS NOT DISTINCT FROM ($12::bigint, $13::bigint, $14::bigint, $15::text, $16::bigint, $17::bytea)){inserted}
        THEN 1 ELSE concat('ampipe: rolled back and made again, since the rows or the state are not as expected')::integer END
    FROM guard

-- name: count-inserted
-- How many rows this session has inserted into the table ($1). Those of earlier transactions
-- may be among them: a session reports only so often.
pg_stat_get_xact_tuples_inserted(to_regclass($1))

-- name: count-inserted-divided
-- The same for a table that is divided: rows are in its partitions.
(WITH RECURSIVE {members} SELECT sum(pg_stat_get_xact_tuples_inserted(oid))::bigint FROM member)

-- name: ask-divided
SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)

-- name: lock-or-fail
-- Fails, like check-written, unless nobody else has the lock ($2, $3), and inserted rows are
-- counted. It keeps how many there are ({inserted}) until the transaction ends.
SELECT CASE WHEN current_setting('track_counts')::boolean AND {inserted} IS NOT NULL AND pg_try_advisory_xact_lock($2, $3)
        THEN 1 ELSE concat('ampipe: rolled back and made again, since another session works on the table')::integer END,
    set_config('ampipe.inserted', {inserted}::text, true)

-- name: extend-state
-- Changes the state of the table ($1) from what it was when it was known last: the live state
-- ($2 to $7 from $8 to $13), and, unless they are NULL, the end of the blocks from $14 on (to
-- $16 from $15). Fails, like check-written, unless it was that.
WITH live AS (UPDATE ampipe.tables SET live_epoch = $2, live_seq = $3, live_start = $4,
        cursor_network = $5, cursor_block = $6, cursor_hash = $7 WHERE id = $1 AND pruned = $17
            AND (live_epoch, live_seq, live_start, cursor_network, cursor_block, cursor_hash)
                IS NOT DISTINCT FROM ($8::bigint, $9::bigint, $10::bigint, $11::text, $12::bigint, $13::bytea)
        RETURNING 1),
    extended AS (UPDATE ampipe.coverage SET blocks = int8range($14, $16)
        WHERE int4range(table_id, table_id, '[]') && int4range($1, $1, '[]') AND blocks = int8range($14, $15) AND batch IS NULL
            AND $14::bigint IS NOT NULL
        RETURNING 1)
    SELECT CASE WHEN (SELECT count(*) FROM live) = 1 AND (SELECT count(*) FROM extended) = ($14::bigint IS NOT NULL)::integer
        THEN 1 ELSE concat('ampipe: rolled back and made again, since another session has changed the state')::integer END

-- name: ask-columns
-- Reads the columns of a table. What a domain is made of is looked up as
-- PostgreSQL does it: down to the type that is no domain, with the last modifier.
SELECT a.attname, a.attnotnull, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
        a.attgenerated::text, a.attidentity::text, coalesce(l.collisdeterministic, true),
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN n.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod) ELSE format('%I.%I', n.nspname, t.typname) END,
        CASE WHEN b.typtype = 'e' THEN 'enum' WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN format_type(b.oid, NULL)
            WHEN b.typname = 'citext' AND b.typtype = 'b' THEN 'citext' ELSE '' END,
        u.modifier, t.typtype = 'd', u.bound,
        CASE WHEN e.typtype = 'e' THEN 'enum' WHEN e.typtype = 'b' AND e.typnamespace = 'pg_catalog'::regnamespace THEN format_type(e.oid, NULL)
            WHEN e.typname = 'citext' AND e.typtype = 'b' THEN 'citext' ELSE '' END,
        coalesce(e.oid, 0), array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid IN (b.oid, e.oid) ORDER BY enumsortorder)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        CROSS JOIN LATERAL (WITH RECURSIVE made AS (
                SELECT a.atttypid AS oid, a.atttypmod AS modifier, false AS bound, 0 AS depth
                UNION ALL SELECT d.typbasetype, d.typtypmod, bound OR d.typnotnull, depth + 1 FROM made
                    JOIN pg_type d ON d.oid = made.oid WHERE d.typtype = 'd'
            ) SELECT * FROM made ORDER BY depth DESC LIMIT 1) u
        JOIN pg_type b ON b.oid = u.oid LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum

-- name: ask-sequences
-- Asks which sequences defaults of a table ($1) take numbers from that this
-- user may not use. Trying would use up a number.
SELECT a.attname, d.refobjid::regclass::text, quote_ident(current_user) FROM pg_attrdef f
    JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = d.refobjid
    WHERE f.adrelid = to_regclass($1) AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') ELSE false END
        AND a.attname <> ALL ($2) ORDER BY a.attnum

-- name: write-no-state
-- Does with no row what is done with the tables of the schema ampipe.
INSERT INTO ampipe.coverage SELECT * FROM ampipe.coverage WHERE false;
    DELETE FROM ampipe.coverage WHERE false;
    UPDATE ampipe.tables SET live_seq = live_seq WHERE false;
    INSERT INTO ampipe.replaced (table_id, block, replaced_by, content) SELECT table_id, block, replaced_by, content
        FROM ampipe.replaced WHERE false;
    UPDATE ampipe.replaced SET replaced_by = replaced_by WHERE false;
    DELETE FROM ampipe.replaced WHERE false;
    SELECT FROM ampipe.tables WHERE id = {id} FOR NO KEY UPDATE SKIP LOCKED

-- name: read-adopting
SELECT adopting FROM ampipe.tables WHERE id = $1 FOR UPDATE

-- name: add-adopting
UPDATE ampipe.tables SET adopting = adopting + $2 WHERE id = $1

-- name: end-adopting
UPDATE ampipe.tables SET adopting = NULL WHERE id = $1

-- name: restart-adopting
UPDATE ampipe.tables SET adopting = 0 WHERE id = $1

-- name: drop-adopted
DELETE FROM ampipe.coverage WHERE table_id = $1

-- name: lock-if-free
-- Whether it is held alone.
SELECT CASE WHEN pg_try_advisory_xact_lock($1, $2) THEN true ELSE pg_advisory_xact_lock_shared($1, $2) IS NULL END

-- name: lock-to-confirm
-- Rows of ampipe.replaced hold their table in share mode, as a key.
SELECT 1 FROM ampipe.tables WHERE id = $1 FOR NO KEY UPDATE

-- name: register
INSERT INTO ampipe.tables (schema_name, table_name, pipeline, sink, adopting)
    VALUES ($1, $2, $3, $4, CASE WHEN $5::boolean THEN 0 END) RETURNING id

-- name: takes-writes
-- To others than administrators the view shows of a standby only that it is there.
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('local', 'off')
        AND NOT EXISTS (SELECT FROM pg_stat_replication)

-- name: blockers
-- Which sessions another ($1) waits for. Those that have a lock of ampipe's, or wait for
-- one, are its own; those that have the lock of a table ($2) write. Of their statements only
-- the words at the beginning are read; the rest may hold what is nobody's business. What is
-- read last changes whenever the transaction moves.
SELECT b.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''),
        coalesce(CASE WHEN a.state <> 'active' THEN a.state ELSE trim(substring(a.query FROM '^[A-Za-z ]{1,40}')) END, ''),
        CASE a.wait_event_type WHEN 'Lock' THEN ', which waits for a lock itself' WHEN 'Client' THEN ', which waits for its client' ELSE '' END,
        coalesce(CASE WHEN a.state <> 'active' THEN a.state_change ELSE a.query_start END, now()),
        l.pid IS NOT NULL, coalesce(l.writes, false), coalesce(a.wait_event_type = 'Lock', false),
        coalesce(a.wait_event = 'ClientRead', false), coalesce(a.state <> 'active', false),
        concat_ws(' ', a.backend_start, a.xact_start, a.state, a.query_start, a.state_change{copied})
    FROM unnest(pg_blocking_pids($1::integer)) AS b (pid)
    LEFT JOIN pg_stat_activity a ON a.pid = b.pid
    LEFT JOIN (SELECT pid, bool_or(granted AND classid = $2::bigint::oid) AS writes FROM pg_locks
        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid IN ($2::bigint::oid, $3::bigint::oid) AND objsubid = 2
                OR classid = ($4::bigint >> 32)::oid AND objid = ($4::bigint & 4294967295)::oid AND objsubid = 1)
        GROUP BY pid) l ON l.pid = b.pid
    {progress}

-- name: end-blocker
-- Ends a session ($1) if nothing has moved in it.
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a {progress}
    WHERE a.pid = $1::integer AND a.wait_event = 'ClientRead'
        AND concat_ws(' ', a.backend_start, a.xact_start, a.state, a.query_start, a.state_change{copied}) = $2

-- name: keep-replaced
-- Keeps rows of the table that rows of the staging table are about to replace, and those
-- of the staging table that are of a lower block than the one in the table.
WITH lost AS (
        SELECT $1::integer AS table_id, least(s.{block}, t.{block})::bigint AS block, greatest(s.{block}, t.{block})::bigint AS replaced_by,
            jsonb_object($2::text[], CASE WHEN s.{block} < t.{block} THEN ARRAY[{staged_texts}] ELSE ARRAY[{texts}] END) AS content
        FROM {staging} s JOIN {table} t ON {staged_key}
        WHERE s.{block} <> t.{block} AND greatest(s.{block}, t.{block}) >= $3::bigint
    ), saved AS (INSERT INTO ampipe.replaced (table_id, block, replaced_by, content) SELECT * FROM lost RETURNING 1)
    SELECT (SELECT count(*) FROM lost), (SELECT count(*) FROM saved)

-- name: forget-replaced
DELETE FROM ampipe.replaced WHERE table_id = $1 AND replaced_by >= $2 AND block >= $2 AND block < $3

-- name: restore-replaced
-- Puts back, for each key that the table has lost, the row of the highest block.
WITH taken AS (DELETE FROM ampipe.replaced WHERE id IN (
        SELECT DISTINCT ON ({replaced_key}) r.id FROM ampipe.replaced r
        WHERE r.table_id = $1 AND r.replaced_by >= $2 AND r.replaced_by < $3 AND NOT EXISTS (SELECT FROM {table} t WHERE {same_key})
        ORDER BY {replaced_key}, r.block DESC, r.id DESC) RETURNING content
    ), back AS (INSERT INTO {table} ({columns}) SELECT {replaced} FROM taken r RETURNING 1)
    SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM back)

-- name: reassign-replaced
-- What replaced the others is gone as well: now it is the row that came back, or the one
-- that is there.
UPDATE ampipe.replaced r SET replaced_by = t.{block}::bigint FROM {table} t
    WHERE r.table_id = $1 AND r.replaced_by >= $2 AND r.replaced_by < $3 AND {same_key}

-- name: count-replaced
SELECT count(*) FROM ampipe.replaced WHERE table_id = $1 AND replaced_by >= $2
    AND (replaced_by < $3 OR block >= $2 AND block < $3)

-- name: read-replaced
-- The rows of a range of blocks that rows of later blocks have replaced, and that nothing
-- in the range has.
SELECT DISTINCT ON ({replaced_key}) {replaced} FROM ampipe.replaced r
    WHERE r.table_id = {id} AND r.replaced_by >= {end} AND r.block >= {start} AND r.block < {end}
        AND NOT EXISTS (SELECT FROM {table} t WHERE {same_key} AND t.{block} < {end})
    ORDER BY {replaced_key}, r.block DESC, r.id DESC

-- name: count-stored
-- Rows of this transaction, and of those that began to write after it.
SELECT t.{block}::bigint, count(*) FROM unnest($1::bigint[], $2::bigint[]) AS r (first, past)
    JOIN {table} t ON t.{block} >= r.first AND t.{block} < r.past
    WHERE age(t.xmin) <= age((txid_current() & 4294967295)::text::xid) GROUP BY 1

-- name: compare-staged
-- How many rows of the staging table have a newer row of their key in the table, another
-- one of their block, and none.
SELECT count(*) FILTER (WHERE t.{block} > s.{block}),
        count(*) FILTER (WHERE t.{block} = s.{block} AND ROW({comparable}) IS DISTINCT FROM ROW({staged_comparable})),
        count(*) FILTER (WHERE coalesce(t.{block} < s.{block}, true))
    FROM {staging} s LEFT JOIN {table} t ON {staged_key}

-- name: count-same
-- How many rows of the staging table are in the table. A row is looked up by its key: the
-- staging table has no statistics, and a join might read all of the table.
SELECT count(*) FROM {staging} s
    WHERE (SELECT record_image_eq(ROW({comparable}), ROW({staged_comparable})) FROM {table} t WHERE {staged_key})

-- name: discard-rows
-- The bounds of all are for the index, and for blocks that there are many ranges of.
DELETE FROM {table} t USING unnest($1::bigint[], $2::bigint[]) AS gone (first, last)
    WHERE t.{block} BETWEEN gone.first AND gone.last AND t.{block} BETWEEN {first} AND {last}

-- name: count-discarded
SELECT count(*) FROM {table} t JOIN unnest($1::bigint[], $2::bigint[]) AS gone (first, last)
    ON t.{block} BETWEEN gone.first AND gone.last AND t.{block} BETWEEN {first} AND {last}

-- name: count-blocks
SELECT {block}::bigint, count(*) FROM {table} WHERE {block} BETWEEN $1::bigint AND $2::bigint OR {block} IS NULL
    GROUP BY 1 ORDER BY 1

-- name: count-outside
SELECT count(*) FROM {table} WHERE {block} < $1::bigint OR {block} > $2::bigint
