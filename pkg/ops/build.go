package ops

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// version and commit are set by the linker, from the commit that is built: see
// scripts/stamp. Without it the build information that Go itself embeds counts.
var version, commit string

// dirty ends the version of a build from a tree with changes that were not committed.
const dirty = "+dirty"

// Build describes how the running program was built.
type Build struct {
	Version  string `json:"version"`          // tag, or pseudo-version of the commit; "development" if neither is known
	Commit   string `json:"commit,omitempty"` // empty if it is not known
	Modified bool   `json:"modified"`         // the source differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system/architecture
}

// ReadBuild returns the build of the running program.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return newBuild(version, commit, info)
}

func newBuild(version, commit string, info *debug.BuildInfo) Build {
	b := Build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && b.Commit == "":
				b.Commit = s.Value
			case s.Key == "vcs.modified" && commit == "":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "development"
	}
	b.Modified = b.Modified || strings.HasSuffix(b.Version, dirty)
	return b
}
