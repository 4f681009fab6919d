//go:build race

package layout

// stride is how many columns apart those are that are made. The race detector makes
// every one ten times as dear, and finds nothing in what an array holds.
const stride = 7
