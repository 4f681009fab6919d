package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// askCapacity asks how many connections there may be and are: of the server, without
// those that are kept for administrators, of the database and of the role (-1: no
// limit), and how many of them are of programs that have the name ($1) and the user of
// this one. The limits of database and role are not for superusers.
const askCapacity = `WITH used AS (
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
		u.own FROM used u, limits l`

// connectionWarnings returns what is to be said if there are fewer connections to spare
// than the sinks of this configuration use, so that they would wait for one under load.
// A pooler has connections of its own.
func (s *sessions) connectionWarnings(ctx context.Context, tx pgx.Tx) ([]string, error) {
	if sessionOf(tx.Conn()).pooled {
		return nil, nil
	}
	var (
		database, user         string
		everywhere, here, role struct{ limit, used int64 }
		own                    int64
	)
	err := tx.QueryRow(ctx, askCapacity, s.program).Scan(&database, &user,
		&everywhere.limit, &everywhere.used, &here.limit, &here.used, &role.limit, &role.used, &own)
	if err != nil {
		return nil, fmt.Errorf("ask how many connections there may be: %w", err)
	}
	needed := s.needs
	var all []string
	say := func(limit, used int64, who string, remedy func(enough int64) string) {
		used -= min(own, needed)
		if limit < 0 || limit-used >= needed {
			return
		}
		all = append(all, fmt.Sprintf("the sinks of this configuration use up to %d connections, "+
			"and %s may have %d, of which others use %d, so they wait for each other under load; %s, or lower writers",
			needed, who, limit, used, remedy(used+needed)))
	}
	say(role.limit, role.used, fmt.Sprintf("the user %q", user), func(enough int64) string {
		return fmt.Sprintf("run ALTER ROLE %s CONNECTION LIMIT %d", quoted(user), enough)
	})
	say(here.limit, here.used, fmt.Sprintf("the database %q", database), func(enough int64) string {
		return fmt.Sprintf("run ALTER DATABASE %s CONNECTION LIMIT %d", quoted(database), enough)
	})
	say(everywhere.limit, everywhere.used, "its users", func(enough int64) string {
		return fmt.Sprintf("raise max_connections of the server by %d", enough-everywhere.limit)
	})
	return all, nil
}
