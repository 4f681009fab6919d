package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profiled writes a CPU profile of this process until the function that it
// returns is called; the last turn of a measurement remains. It does nothing
// unless profiles were asked for.
func (e *env) profiled(name string) (stop func()) {
	if e.profile == "" {
		return func() {}
	}
	f, err := os.Create(filepath.Join(e.profile, name+".pprof"))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: no profile:", err)
		}
	}
}
