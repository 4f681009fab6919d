package config_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// TestPage reads where the page is, in both forms, or that there is none.
func TestPage(t *testing.T) {
	t.Parallel()
	const bad = ` must be an address such as 127.0.0.1:8088, or off, not `
	for _, c := range []struct{ page, listen, want string }{
		{page: "", listen: "127.0.0.1:8088"},
		{page: "page:", listen: "127.0.0.1:8088"},
		{page: "page: {}", listen: "127.0.0.1:8088"},
		{page: "page: ${UNSET:-}", listen: "127.0.0.1:8088"},
		{page: "page: off"},
		{page: "page: ${PAGE}", listen: ":9"},
		{page: "page: { listen: off }"},
		{page: `page: "[::1]:0"`, listen: "[::1]:0"},
		{page: "page: { listen: localhost:9000 }", listen: "localhost:9000"},
		{page: "page: false", want: `14:1: page.listen` + bad + `"false"`},
		{page: "page: 8088", want: `14:1: page.listen` + bad + `"8088"`},
		{page: "page: { listen: 127.0.0.1 }", want: `14:9: page.listen` + bad + `"127.0.0.1"`},
		{page: "page: 127.0.0.1:70000", want: `14:1: page.listen` + bad + `"127.0.0.1:70000"`},
		{page: "page: http://127.0.0.1:8088", want: `14:1: page.listen` + bad + `"http://127.0.0.1:8088"`},
		{page: "page: [off]", want: `14:1: page must be a group of keys, not a list`},
		{page: "page: { address: off }", want: `14:9: unknown key "page.address"`},
	} {
		text := strings.Replace(valid, "  max_bytes: 1GiB\n", "  max_bytes: 1GiB\n"+c.page+"\n", 1)
		got, err := config.Parse("f.yaml", []byte(text), env("PAGE", ":9"))
		switch {
		case c.want != "":
			checkComplaints(t, c.page, err, c.want)
		case err != nil:
			t.Errorf("%s: %v", c.page, err)
		case got[0].Page.Listen != c.listen:
			t.Errorf("%s: the page is at %q, want %q", c.page, got[0].Page.Listen, c.listen)
		}
	}
}

// TestPipelinesShareAPage: a file is run by one process, which has one page.
func TestPipelinesShareAPage(t *testing.T) {
	t.Parallel()
	second := strings.Replace(strings.Replace(valid, "pipeline: p", "pipeline: q", 1), "table: t", "table: u", 1)
	got, err := config.Parse("f.yaml", []byte(valid+"---\n"+second+"page: off\n"), env())
	if err != nil || got[0].Page.Listen != "" || got[1].Page.Listen != "" {
		t.Errorf("%v: %+v", err, got)
	}
	_, err = config.Parse("f.yaml", []byte(valid+"page: \":1\"\n---\n"+second+"page: \":2\"\n"), env())
	if err == nil || !strings.Contains(err.Error(), "page differs from the one in line") {
		t.Errorf("two pages: %v", err)
	}
}
