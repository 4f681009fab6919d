package compose

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestProfiles(t *testing.T) {
	base := []string{"extractor", "nats", "planner", "postgres", "redis", "sink-delta", "sink-postgres", "sink-redis"}
	for _, c := range []struct {
		profiles []string
		more     []string
	}{
		{nil, nil},
		{[]string{"demo"}, []string{"amp"}},
		{[]string{"observe"}, []string{"grafana", "prometheus"}},
		{[]string{"tools"}, []string{"ampipe"}},
		{allProfiles, []string{"amp", "ampipe", "grafana", "prometheus"}},
	} {
		want := slices.Sorted(slices.Values(append(slices.Clone(base), c.more...)))
		if got := slices.Sorted(maps.Keys(load(t, c.profiles).Services)); !slices.Equal(got, want) {
			t.Errorf("profiles %v start %v, want %v", c.profiles, got, want)
		}
	}
	elsewhere := load(t, nil, "AMP_URL=grpcs://amp.example").Services["extractor"]
	if url := elsewhere.Environment["AMP_URL"]; url == nil || *url != "grpcs://amp.example" {
		t.Errorf("AMP_URL does not reach the extractor: %v", url)
	}
}

var (
	secretName  = regexp.MustCompile(`(?i)password|passwd|secret|token|dsn|credential|_key$`)
	secretValue = regexp.MustCompile(`://[^/@\s]*:[^/@\s]+@`)
)

// TestRules checks what has to hold of every service.
func TestRules(t *testing.T) {
	project := load(t, allProfiles)
	for name, s := range project.Services {
		t.Run(name, func(t *testing.T) {
			checkLimits(t, s)
			checkExposure(t, s)
			checkSecrets(t, s)
			checkHealth(t, s)
			for on, d := range s.DependsOn {
				if d.Condition != types.ServiceConditionHealthy {
					t.Errorf("it waits until %s is %s, not until it is healthy", on, d.Condition)
				}
				if profiles := project.Services[on].Profiles; len(profiles) > 0 && len(s.Profiles) == 0 && d.Required {
					t.Errorf("it cannot start without profile %v, of %s", profiles, on)
				}
			}
			if _, tag, _ := strings.Cut(s.Image, ":"); tag == "" || tag == "latest" {
				t.Errorf("image %q is another one every week", s.Image)
			}
		})
	}
}

func checkLimits(t *testing.T, s types.ServiceConfig) {
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
		t.Fatal("it has no limits")
	}
	limits := s.Deploy.Resources.Limits
	if limits.NanoCPUs == 0 || limits.MemoryBytes == 0 {
		t.Error("it has no limit of processors or of memory")
	}
	text, err := os.ReadFile(filepath.Join(root(t), "docs/deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("| `%s` | %g | %d MiB |", s.Name, float32(limits.NanoCPUs), int64(limits.MemoryBytes)>>20)
	if !strings.Contains(string(text), row) {
		t.Errorf("docs/deploy.md does not say %q", row)
	}
}

func checkExposure(t *testing.T, s types.ServiceConfig) {
	for _, p := range s.Ports {
		if p.HostIP != "127.0.0.1" {
			t.Errorf("port %d is published on %q, not on loopback", p.Target, p.HostIP)
		}
	}
	if s.ContainerName != "" || (len(s.Ports) > 0 && ours(s)) {
		t.Error("it cannot be scaled: it has a name or a port of its own")
	}
	if s.NetworkMode != "" || s.Privileged || len(s.CapAdd) > 0 {
		t.Error("it has rights that nothing here needs")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Error("it may gain privileges")
	}
	if ours(s) && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.User != "") {
		t.Error("its file system is not read-only, it has capabilities, or it is not the user of the image")
	}
}

func checkSecrets(t *testing.T, s types.ServiceConfig) {
	for name, value := range s.Environment {
		switch {
		case value == nil:
			t.Errorf("%s is taken from the shell, whatever it holds", name)
		case secretName.MatchString(name) && !strings.HasSuffix(name, "_FILE"):
			t.Errorf("%s looks like a secret; secrets belong into files", name)
		case secretValue.MatchString(*value):
			t.Errorf("%s holds a password", name)
		}
	}
	for _, word := range slices.Concat(s.Command, s.Entrypoint) {
		if secretValue.MatchString(word) {
			t.Error("the command line holds a password")
		}
	}
}

func checkHealth(t *testing.T, s types.ServiceConfig) {
	h := s.HealthCheck
	if slices.Contains(s.Profiles, "tools") {
		return // it ends
	}
	if h == nil || h.Disable || len(h.Test) < 2 || h.Interval == nil || h.Timeout == nil || h.Retries == nil || h.StartPeriod == nil {
		t.Fatalf("its health check is missing, or leaves times to the engine's defaults: %+v", h)
	}
	if ours(s) && h.Test[0] != "CMD" {
		t.Error("its health check needs a shell, which its image does not have")
	}
}

// TestSecretFiles checks that make-secrets makes all that is mounted, that nobody
// else can enter the folder, and that a second run changes nothing.
func TestSecretFiles(t *testing.T) {
	dir := secrets(t)
	read := func() map[string]string {
		texts := map[string]string{}
		for name, s := range load(t, allProfiles, "SECRETS="+dir).Secrets {
			text, err := os.ReadFile(s.File)
			if err != nil {
				t.Errorf("make-secrets does not make %s: %v", name, err)
			}
			info, err := os.Stat(s.File)
			if err == nil && info.Mode().Perm()&0o444 != 0o444 {
				t.Errorf("%s is %v: a container's user cannot read it", name, info.Mode())
			}
			texts[name] = string(text)
		}
		return texts
	}
	first := read()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may enter the folder: %v %v", info.Mode(), err)
	}
	if out, err := exec.Command(filepath.Join(root(t), "deploy/compose/make-secrets"), dir).CombinedOutput(); err != nil {
		t.Fatalf("make-secrets: %v\n%s", err, out)
	}
	if !maps.Equal(first, read()) {
		t.Error("a second run changed a secret")
	}
	if out, err := exec.Command("git", "-C", root(t), "check-ignore", "deploy/compose/secrets/postgres_password").CombinedOutput(); err != nil {
		t.Errorf("git does not ignore the secrets: %v\n%s", err, out)
	}
}

// TestArguments has the real commands read the arguments that they are started with.
func TestArguments(t *testing.T) {
	for name, s := range load(t, allProfiles).Services {
		if !ours(s) || name == "amp" {
			continue
		}
		lines := [][]string{slices.Concat(s.Entrypoint, s.Command)}
		if h := s.HealthCheck; h != nil && !h.Disable {
			lines = append(lines, h.Test[1:])
		}
		for _, line := range lines {
			cmd := exec.Command(filepath.Join(commands(t), line[0]), append(slices.Clone(line[1:]), "--help")...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %v\n%s", name, line, err, out)
			}
		}
	}
}

// TestServerVersions checks that the images are those of the versions that everything
// is tested with.
func TestServerVersions(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`nats-io/nats-server/v2 v(\S+)`).FindSubmatch(text)
	if version == nil {
		t.Fatal("go.mod names no NATS server")
	}
	services := load(t, allProfiles).Services
	for name, want := range map[string]string{
		"nats": "nats:" + string(version[1]) + "-alpine", "postgres": "postgres:15-bookworm", "redis": "redis:7.0-bookworm",
	} {
		if got := services[name].Image; got != want {
			t.Errorf("the image of %s is %s, want %s", name, got, want)
		}
	}
}
