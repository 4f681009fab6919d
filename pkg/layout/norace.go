//go:build !race

package layout

// stride is how many columns apart those are that are made: all are.
const stride = 1
