package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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
	err := tx.QueryRow(ctx, statement("ask-capacity"), s.program).Scan(&database, &user,
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
