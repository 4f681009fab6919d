package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/fault"
)

// foreignKey is a foreign key by which rows of another table, or of the same one, refer
// to rows of the table.
type foreignKey struct {
	name, table string // the latter quoted, with its schema, as in the catalog
	schema      string
	relation    string
	definition  string
	onDelete    string // as in pg_constraint.confdeltype
	notNull     bool   // one of its columns takes no NULL
	self        bool   // it is a foreign key of the table itself
}

type foreignKeys []foreignKey

// foreignKeysTo finds what refers to the table; nothing if it does not exist.
func foreignKeysTo(ctx context.Context, db querier, g *tableSpec) (foreignKeys, error) {
	return collect(ctx, db, "read the foreign keys", func(k *foreignKey) []any {
		return []any{&k.name, &k.table, &k.schema, &k.relation, &k.definition, &k.onDelete, &k.notNull, &k.self}
	}, statement("ask-foreign-keys"), g.quoted())
}

const (
	onDeleteNothing  = "a"
	onDeleteRestrict = "r"
	onDeleteNull     = "n"
)

// refuses reports whether rows that others refer to can perhaps not be deleted.
func (k foreignKey) refuses() bool {
	return k.onDelete == onDeleteNothing || k.onDelete == onDeleteRestrict || (k.onDelete == onDeleteNull && k.notNull)
}

var (
	deleteAction = regexp.MustCompile(` ON DELETE (?:NO ACTION|RESTRICT|CASCADE|SET NULL|SET DEFAULT)(?: \([^)]*\))?`)
	afterActions = regexp.MustCompile(`(?: DEFERRABLE| NOT VALID| NOT ENFORCED|$)`)
)

// cascade returns the statement that makes rows that refer to a deleted one be deleted,
// too.
func (k foreignKey) cascade() string {
	definition := deleteAction.ReplaceAllString(k.definition, "")
	end := afterActions.FindStringIndex(definition)[0]
	return fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %[2]s %s ON DELETE CASCADE%s",
		k.table, quoted(k.name), definition[:end], definition[end:])
}

// warnings returns which of them would stop the sink at a reorg.
func (ks foreignKeys) warnings(g *tableSpec) []string {
	var all []string
	for _, k := range ks {
		if k.refuses() && !k.self {
			all = append(all, fmt.Sprintf("the foreign key %s of %s refers to %s, "+
				"and would refuse that a reorg deletes a row that is referred to; run %s",
				quoted(k.name), k.table, g, k.cascade()))
		}
	}
	return all
}

// allow refuses to empty a table that others refer to: PostgreSQL does, even if they
// have no row.
func (ks foreignKeys) allow(g *tableSpec, todo changePlan) error {
	empties := slices.ContainsFunc(todo.make, func(sql string) bool { return strings.HasPrefix(sql, truncate) })
	var others, drops []string
	for _, k := range ks {
		if !k.self {
			others = append(others, fmt.Sprintf("%s of %s", quoted(k.name), k.table))
			drops = append(drops, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", k.table, quoted(k.name)))
		}
	}
	if !empties || len(others) == 0 {
		return nil
	}
	return fault.Permanent(fmt.Errorf("overwrite: true empties it, "+
		"and PostgreSQL does not truncate a table to which a foreign key refers (%s); "+
		"run %s, or take overwrite out of the configuration and run DELETE FROM %s",
		strings.Join(others, ", "), strings.Join(drops, "; "), g.quoted()))
}

// ofForeignKey returns how a foreign key of another table that has refused a deletion
// becomes one that does not. Other errors stay as they are. The transaction is over.
func ofForeignKey(ctx context.Context, pool *sessions, err error) error {
	pg, ok := refusal(err)
	if !ok || !slices.Contains([]string{foreignKeyViolation, restrictViolation, notNullViolation}, pg.Code) {
		return err
	}
	var keys foreignKeys
	failed := pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) (err error) {
		keys, err = foreignKeysTo(ctx, tx, pool.table)
		return err
	})
	if failed != nil {
		return errors.Join(err, failed)
	}
	at := slices.IndexFunc(keys, func(k foreignKey) bool {
		return k.schema == pg.SchemaName && k.relation == pg.TableName &&
			(k.name == pg.ConstraintName || (k.onDelete == onDeleteNull && pg.Code == notNullViolation))
	})
	if at < 0 {
		return err
	}
	k := keys[at]
	return fault.Permanent(fmt.Errorf("table %s: the foreign key %s of %s refuses that rows are deleted, as a reorg has to; "+
		"run %s, and start this sink again: %w",
		pool.table, quoted(k.name), k.table, k.cascade(), err))
}
