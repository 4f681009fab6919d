package amp

import (
	"strings"
	"testing"
)

// FuzzLogin holds that no content of a token file makes its reading panic, that what is
// wrong is told without a token, and that what is read can be written and read again.
func FuzzLogin(f *testing.F) {
	for _, seed := range []string{
		`{"accessToken":"a","refreshToken":"b","userId":"c","accounts":["d"],"expiry":1700000000000,"more":{"x":1}}`,
		`{"accessToken":1}`, `[]`, `null`, `{"accessToken":"a","refreshToken":"b","userId":"c","expiry":null}`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseLogin(text)
		if err != nil {
			if len(text) > 60 && strings.Contains(err.Error(), string(text)) {
				t.Error(err)
			}
			return
		}
		again, err := l.text()
		if err != nil {
			t.Fatal(err)
		}
		if r, err := parseLogin(again); err != nil || r.access != l.access || r.refresh != l.refresh || r.user != l.user {
			t.Errorf("%s is read as %+v, %v", again, r, err)
		}
	})
}
