package ops

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBuild(t *testing.T) {
	vcs := func(version, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "feedbeef"}, {Key: "vcs.modified", Value: modified},
		}}
	}
	for name, c := range map[string]struct {
		version, commit string
		info            *debug.BuildInfo
		want            Build
	}{
		"stamped by the linker":              {"v1.2.3", "abc", vcs("(devel)", "true"), Build{Version: "v1.2.3", Commit: "abc"}},
		"stamped from a changed tree":        {"v1.2.3+dirty", "abc", nil, Build{Version: "v1.2.3+dirty", Commit: "abc", Modified: true}},
		"stamped by Go":                      {"", "", vcs("v0.1.0", "false"), Build{Version: "v0.1.0", Commit: "feedbeef"}},
		"stamped by Go, from a changed tree": {"", "", vcs("v0.1.0+dirty", "true"), Build{Version: "v0.1.0+dirty", Commit: "feedbeef", Modified: true}},
		"installed from a module":            {"", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, Build{Version: "v0.1.0"}},
		"without any stamp":                  {"", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, Build{Version: "development"}},
		"without build information":          {"", "", nil, Build{Version: "development"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Go, c.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
			if got := newBuild(c.version, c.commit, c.info); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
