package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// answering returns a configuration whose server is named by a word of the test.
func answering(amp, more string) string {
	return strings.NewReplacer("$AMP", amp, "SELECT * FROM eth.logs }", "SELECT * FROM eth.logs"+more+" }").Replace(lake)
}

// webServer answers every request with an error page, by HTTP/2 without TLS or by
// HTTP/1.1 alone, and becomes the word WEB.
func webServer(second bool, status int) func(*site) {
	return func(s *site) {
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, "<html>sorry</html>")
		}))
		web.Config.Protocols = new(http.Protocols)
		web.Config.Protocols.SetHTTP1(!second)
		web.Config.Protocols.SetUnencryptedHTTP2(second)
		web.Start()
		s.Cleanup(web.Close)
		s.vars["WEB"] = strings.Replace(web.URL, "http://", "grpc://", 1)
	}
}

// served replaces the server of the site.
func served(args ...string) func(*site) {
	return func(s *site) { s.amp = ampServer(s.T, args...) }
}

func TestEnvironmentsOfAmp(t *testing.T) {
	t.Parallel()
	followed := strings.Replace(lake, "max_block: 40", "max_block: 50, reorg_buffer: 5", 1)
	cast := strings.Replace(followed, "SELECT * FROM eth.logs",
		`"SELECT _block_num, CASE WHEN _block_num = 47 THEN CAST(value AS TINYINT) ELSE 0 END AS v FROM eth.transactions"`, 1)
	further := strings.Replace(lake, "max_block: 40", "max_block: 60, reorg_buffer: 5", 1)
	try(t, []environment{{
		name:   "a server of HTTP/1.1",
		config: answering("$WEB", ""),
		breaks: webServer(false, http.StatusOK),
		says:   "what listens there speaks HTTP/1.1, not gRPC",
		mended: lake,
	}, {
		name:   "a proxy that does not reach Amp",
		config: answering("$WEB", ""),
		breaks: webServer(true, http.StatusBadGateway),
		says:   "answers, and does not reach Amp behind it",
		exit:   ops.ExitFailed,
		waits:  true,
		mended: lake,
	}, {
		name:   "TLS to a server of plain text",
		config: answering("$TLS", ""),
		breaks: func(s *site) { s.vars["TLS"] = strings.Replace(s.amp, "grpc://", "grpcs://", 1) },
		says:   "write grpc:// instead of grpcs://",
		mended: lake,
	}, {
		name:   "an address at which nobody listens",
		config: answering("grpc://127.0.0.1:1", ""),
		says:   "is Amp running at grpc://127.0.0.1:1?",
		exit:   ops.ExitFailed,
		waits:  true,
		mended: lake,
	}, {
		name:   "a token that has expired",
		config: lake,
		breaks: served("--status", "info:UNAUTHENTICATED:0:the token has expired"),
		says:   "the token has expired (Unauthenticated); set a token",
		mends:  served(),
		mended: lake,
	}, {
		name:   "a query that the server plans and cannot run",
		config: lake,
		breaks: served("--status", "doget:INTERNAL:0:query execution error | Caused by: Error during planning: evm_decode_hex: expected Array, but got FixedSizeBinary(20)"),
		says:   "evm_decode_hex: expected Array, but got FixedSizeBinary(20) (Internal); mend source.query",
		mends:  served(),
		mended: lake,
	}, {
		name:      "a server that plans slowly",
		config:    answering("$AMP", ", answer_timeout: 1s"),
		breaks:    served("--latency", "1100ms", "--blocks", "8"),
		says:      "if it only takes long, raise source.answer_timeout",
		exit:      ops.ExitFailed,
		waits:     true,
		mended:    strings.Replace(answering("$AMP", ", answer_timeout: 10s"), "max_block: 40", "max_block: 8", 1),
		onlyCheck: true,
	}, {
		name:   "a cast that fails in a block of the live chain",
		config: cast,
		says:   "block 47 of the live chain cannot be read, and the blocks from 45 on wait: ",
		exit:   ops.ExitFailed,
		waits:  true,
		mended: strings.NewReplacer("THEN CAST(", "THEN TRY_CAST(", "pipeline: logs", "pipeline: mended", "./lake", "./mended").Replace(cast),
	}, {
		name:   "a server that is behind what is loaded",
		config: further,
		breaks: func(s *site) {
			s.configure(followed)
			if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone {
				s.Fatalf("load: exit code %d\n%s", code, out)
			}
			served("--blocks", "20")(s)
		},
		says:   "the server is behind what is loaded: its head is block 19, and block 49 is loaded",
		exit:   ops.ExitFailed,
		waits:  true,
		mends:  served("--blocks", "65"),
		mended: further,
	}})
}
