package config

import (
	"strings"
	"testing"
)

// FuzzDSN holds that no connection string makes the check panic, and that what is wrong
// with one is told without quoting it.
func FuzzDSN(f *testing.F) {
	for _, seed := range []string{
		"postgres://user:password@host:5432/database?sslmode=verify-full", "postgresql://a,b:5433,[::1]:5/x", "postgres://u:p%40@/db?host=/run",
		"host=a user=b password='it\\'s' dbname=c", "host = a  port=1", "postgres://u:p@h:x/db", "mysql://x", "host='a", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		err := checkDSN(dsn)
		if err == nil && strings.TrimSpace(dsn) == "" {
			t.Error("an empty text is accepted")
		}
		if err != nil && len(dsn) > 40 && strings.Contains(err.Error(), dsn) {
			t.Errorf("%v", err)
		}
	})
}
