package queue

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// TestEveryCodeIsDecided goes through all codes that the linked nats-server publishes.
func TestEveryCodeIsDecided(t *testing.T) {
	decided := map[jetstream.ErrorCode]int{}
	for _, d := range decisions {
		for _, code := range d.of {
			decided[code]++
		}
	}
	if len(server.ApiErrors) < 200 {
		t.Fatalf("the server publishes %d codes only", len(server.ApiErrors))
	}
	for _, e := range server.ApiErrors {
		code := jetstream.ErrorCode(e.ErrCode)
		if decided[code] != 1 {
			t.Errorf("%d (%s) is decided %d times", e.ErrCode, e.Description, decided[code])
		}
		delete(decided, code)
	}
	for code := range decided {
		t.Errorf("%d is decided, and no code of the server", code)
	}
}

// TestEveryClientErrorIsDecided goes through all errors that the linked client libraries
// declare, but for those that have a code.
func TestEveryClientErrorIsDecided(t *testing.T) {
	decided := map[string]int{}
	own, err := parser.ParseFile(token.NewFileSet(), "clienterrors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(own, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Err") {
			decided[fmt.Sprintf("%v.%s", s.X, s.Sel.Name)]++
		}
		return true
	})
	seen := 0
	for name, files := range map[string]string{
		"nats":         folderOf(t, "github.com/nats-io/nats.go") + "/nats.go", // the others are of the API before package jetstream
		"jetstream":    folderOf(t, "github.com/nats-io/nats.go/jetstream") + "/*.go",
		"jetstreamext": folderOf(t, "github.com/synadia-io/orbit.go/jetstreamext") + "/*.go",
	} {
		for _, e := range declared(t, files) {
			seen++
			if decided[name+"."+e] != 1 {
				t.Errorf("%s.%s is decided %d times", name, e, decided[name+"."+e])
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d errors were found only", seen)
	}
}

func folderOf(t *testing.T, pkg string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// declared returns the errors that files declare without a code of the API.
func declared(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			vars, ok := d.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, s := range vars.Specs {
				v := s.(*ast.ValueSpec)
				if name := v.Names[0].Name; strings.HasPrefix(name, "Err") && len(v.Values) == 1 && !hasCode(v.Values[0]) {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

func hasCode(value ast.Expr) (found bool) {
	ast.Inspect(value, func(n ast.Node) bool {
		key, ok := n.(*ast.KeyValueExpr)
		found = found || (ok && fmt.Sprint(key.Key) == "apiErr")
		return true
	})
	return found
}

// TestErrorsOfNATS classes what is met in practice.
func TestErrorsOfNATS(t *testing.T) {
	api := func(code server.ErrorIdentifier, text string) error {
		return fmt.Errorf("publish: %w", &jetstream.APIError{Code: 503, ErrorCode: jetstream.ErrorCode(code), Description: text})
	}
	for _, c := range []struct {
		err   error
		class fault.Class
		says  string
		is    error
	}{
		{nats.ErrNoResponders, fault.ClassLater, "NATS does not answer", nil},
		{context.DeadlineExceeded, fault.ClassLater, "NATS does not answer", nil},
		{api(server.JSStreamStoreFailedF, "maximum bytes exceeded"), fault.ClassLater, "the log is full", ErrFull},
		{api(server.JSStreamStoreFailedF, "no space left on device"), fault.ClassLater, "its own log says why", nil},
		{api(server.JSInsufficientResourcesErr, "insufficient resources"), fault.ClassLater, "raise max_file_store", ErrFull},
		{api(server.JSStorageResourcesExceededErr, "insufficient storage"), fault.ClassLater, "raise max_file_store", ErrFull},
		{api(server.JSStreamNotFoundErr, "stream not found"), fault.ClassLater, "the planner makes streams anew", nil},
		{api(server.JSClusterNotAvailErr, "temporarily unavailable"), fault.ClassLater, "servers of the NATS cluster are away", nil},
		{api(server.JSMaximumConsumersLimitErr, "maximum consumers"), fault.ClassPermanent, "raise max_consumers", nil},
		{api(server.JSStreamSubjectOverlapErr, "overlap"), fault.ClassPermanent, "another program has a stream", nil},
		{api(server.JSBadRequestErr, "bad request"), fault.ClassPermanent, "this is a bug: report it", nil},
		{api(59_999, "of a later server"), fault.ClassAgain, "of a later server", nil},
		{nats.ErrConnectionClosed, fault.ClassPermanent, "connection to NATS: closed", ErrClosed},
		{nats.ErrMaxConnectionsExceeded, fault.ClassLater, "raise its max_connections", nil},
		{errors.New("something else"), fault.ClassAgain, "something else", nil},
	} {
		err := (&Conn{refusals: &refusals{}}).classify(t.Context(), fmt.Errorf("ask: %w", c.err))
		if fault.Of(err) != c.class || !strings.Contains(err.Error(), c.says) || (c.is != nil && !errors.Is(err, c.is)) {
			t.Errorf("%v is %v: %v", c.err, fault.Of(err), err)
		}
	}
	for err, class := range map[error]fault.Class{
		nats.ErrAuthorization: fault.ClassPermanent, nats.ErrMaxConnectionsExceeded: fault.ClassLater,
		nats.ErrSecureConnRequired: fault.ClassPermanent, nats.ErrNoServers: fault.ClassLater, nats.ErrBadSubject: fault.ClassPermanent,
	} {
		if got := dialError("nats://u:secret@h:1", err); fault.Of(got) != class || strings.Contains(got.Error(), "secret") {
			t.Errorf("%v: %v is %v", err, got, fault.Of(got))
		}
	}
}
