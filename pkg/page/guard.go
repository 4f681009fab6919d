package page

import (
	"net"
	"net/http"
	"strings"
)

// policy lets the page load what this server has, and nothing else from anywhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses what pages of other sites have a browser ask, and forbids the page to load
// anything from elsewhere. Of a listener on loopback it refuses names that are not of this
// machine as well: such a name may be a site's that lets it mean 127.0.0.1 for a moment, to
// read what only this machine is to see.
func guard(loopback bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		fromElsewhere := r.Header.Get("Sec-Fetch-Site") == "cross-site" || r.Header.Get("Sec-Fetch-Site") == "same-site"
		switch {
		case loopback && !isLocal(r.Host):
			http.Error(w, "this page is for this machine: open it as localhost, or set page.listen to an address of your network", http.StatusForbidden)
		case fromElsewhere && r.Header.Get("Sec-Fetch-Mode") != "navigate":
			http.Error(w, "this is not for pages of other sites", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLocal reports whether a Host header names this machine by itself.
func isLocal(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	ip := net.ParseIP(name)
	return strings.EqualFold(strings.TrimSuffix(name, "."), "localhost") || ip != nil && ip.IsLoopback()
}

// isLoopback reports whether only this machine reaches a listener.
func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
