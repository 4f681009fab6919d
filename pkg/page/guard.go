package page

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// policy lets the page load what this server has, and nothing else from anywhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard refuses what pages of other sites have a browser ask, by what browsers say of a
// request (Sec-Fetch-Site, Origin); a link to the page is none of it, a form is. It forbids
// the page to load anything from elsewhere. Of a listener on loopback it refuses names that
// are not of this machine as well: such a name may be a site's that lets it mean 127.0.0.1
// for a moment, to read what only this machine is to see.
func guard(loopback bool, next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer a browser hides the origin of the page's own forms, too
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		fromElsewhere := r.Header.Get("Sec-Fetch-Site") == "cross-site" || r.Header.Get("Sec-Fetch-Site") == "same-site"
		switch {
		case loopback && !isLocal(r.Host):
			http.Error(w, "this page is for this machine: open it as localhost, "+
				"or set page.listen to an address of your network", http.StatusForbidden)
		case crossOrigin.Check(r) != nil, fromElsewhere && r.Header.Get("Sec-Fetch-Mode") != "navigate":
			http.Error(w, "this is not for pages of other sites", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLocal reports whether a Host header names this machine by itself.
func isLocal(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		name = h
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
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
