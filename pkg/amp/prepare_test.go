package amp_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// TestAPreparedQuerySavesARoundTrip, once; if the server refuses what it has prepared, the
// query is planned anew.
func TestAPreparedQuerySavesARoundTrip(t *testing.T) {
	t.Parallel()
	const info, get = "GetFlightInfo", "DoGet"
	for name, c := range map[string]struct {
		fault amptest.Fault
		want  []string // of prepare, fetch and fetch
	}{
		"accepted":     {amptest.Pass(), []string{info, get, info, get}},
		"refused":      {amptest.FailAfter(0, codes.InvalidArgument, "ticket decoding error"), []string{info, get, info, get, info, get}},
		"not prepared": {amptest.Refuse(codes.Internal, "no"), []string{info, info, get, info, get}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, client := setup(t)
			srv.On(query, blocks(t, block.Range{End: 10}))
			srv.Next(func(amptest.Query) amptest.Fault { return c.fault })
			if err := client.Prepare(t.Context(), query); (err != nil) != (name == "not prepared") {
				t.Fatalf("prepare: %v", err)
			}
			for range 2 {
				if messages, err := collect(t.Context(), t, client, query); err != nil || len(messages) != 2 {
					t.Fatalf("%d messages, %v; want 2", len(messages), err)
				}
			}
			var got []string
			for _, r := range srv.Requests() {
				got = append(got, r.Method)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("the server was called %v, want %v", got, c.want)
			}
		})
	}
}
