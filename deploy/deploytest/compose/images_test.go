//go:build linux

package compose

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// makeBox lays out the file system of a container: the image, and on top of it what
// the file mounts. Our programs get the image that the Dockerfile makes. Redis and the
// development server get the libraries of this machine; NATS needs nothing.
func (i *instance) makeBox() {
	r, s := i.r, i.service
	r.Helper()
	files := filepath.Join(r.dir, "containers", i.name)
	_ = os.RemoveAll(files) // the container that it replaces
	i.box = container{Root: files, ReadOnly: s.ReadOnly}
	switch s.Name {
	case "nats":
		i.box.Env = []string{"PATH=/usr/local/bin"}
		place(r, filepath.Join(commands(r), "nats-server"), files+"/usr/local/bin/nats-server")
	case "redis", "amp":
		i.box.Env = []string{"PATH=/opt/bin:/usr/bin:/bin"}
		i.box.Mounts = libraries(r, files)
		if s.Name == "amp" {
			i.box.UID, i.box.GID = r.image.uid, r.image.gid
			place(r, filepath.Join(commands(r), "devserver"), files+"/opt/bin/devserver")
		}
	default:
		i.box.UID, i.box.GID, i.box.Env = r.image.uid, r.image.gid, append(i.box.Env, r.image.env...)
		i.unpack(files)
	}
	i.box.Env = append(append(i.box.Env, "HOME=/tmp", "HOSTNAME="+i.name), pairs(s.Environment)...)
	i.add(mount{Source: "/dev", Target: "/dev"})
	i.add(mount{Source: "/proc", Target: "/proc"})
	i.add(mount{Source: r.network.hosts, Target: "/etc/hosts", ReadOnly: true})
	for _, target := range s.Tmpfs {
		i.add(mount{Target: target})
	}
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = i.volume(v)
		}
		i.add(mount{Source: source, Target: v.Target, ReadOnly: v.ReadOnly})
	}
	for _, c := range s.Configs {
		i.add(mount{Source: i.config(r.project.Configs[c.Source].File, c.Target), Target: c.Target, ReadOnly: true})
	}
	for _, c := range s.Secrets {
		target := c.Target
		if !filepath.IsAbs(target) {
			target = filepath.Join("/run/secrets", target)
		}
		i.add(mount{Source: r.project.Secrets[c.Source].File, Target: target, ReadOnly: true})
	}
}

// unpack puts the files of the image into the container.
func (i *instance) unpack(files string) {
	i.r.Helper()
	if err := copyTree(i.r.image.files, files); err != nil {
		i.r.Fatal(err)
	}
	list, err := filepath.Glob(i.r.image.files + "/*/*")
	if err != nil {
		i.r.Fatal(err)
	}
	deeper, err := filepath.Glob(i.r.image.files + "/*/*/*/*")
	if err != nil {
		i.r.Fatal(err)
	}
	for _, file := range append(list, deeper...) {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			place(i.r, file, filepath.Join(files, strings.TrimPrefix(file, i.r.image.files)))
		}
	}
	if err := os.Chmod(filepath.Join(files, "tmp"), 0o1777); err != nil {
		i.r.Fatal(err)
	}
}

// libraries mounts the programs of this machine, for those that are not static.
func libraries(t testing.TB, files string) []mount {
	t.Helper()
	mounts := []mount{}
	for _, dir := range []string{"usr", "bin", "sbin", "lib", "lib64"} {
		link, err := os.Readlink("/" + dir)
		switch info, statErr := os.Stat("/" + dir); {
		case statErr != nil || !info.IsDir():
		case err == nil:
			err = os.MkdirAll(files, 0o755)
			if err == nil {
				err = os.Symlink(link, filepath.Join(files, dir))
			}
			if err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.MkdirAll(filepath.Join(files, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			mounts = append(mounts, mount{Source: "/" + dir, Target: "/" + dir, ReadOnly: true})
		}
	}
	return mounts
}

// add mounts something, on a file or folder that it makes in the container.
func (i *instance) add(m mount) {
	i.r.Helper()
	target := filepath.Join(i.box.Root, m.Target)
	folder := true
	if m.Source != "" {
		info, err := os.Stat(m.Source)
		if err != nil {
			i.r.Fatalf("%s mounts what is not there: %v", i.name, err)
		}
		folder = info.IsDir()
	}
	dir := target
	if !folder {
		dir = filepath.Dir(target)
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil && !folder {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		i.r.Fatal(err)
	}
	i.box.Mounts = append(i.box.Mounts, m)
}

// volume returns the folder of a named volume, which all containers share.
func (i *instance) volume(v types.ServiceVolumeConfig) string {
	i.r.Helper()
	dir := filepath.Join(i.r.dir, "volumes", v.Source)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		i.r.Fatal(err)
	}
	if filled := filepath.Join(i.box.Root, v.Target); isFolder(filled) {
		if err := copyTree(filled, dir); err != nil {
			i.r.Fatal(err)
		}
	}
	return dir
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// config returns a copy of a file that the file mounts, with the container's address
// in the place of every interface.
func (i *instance) config(file, target string) string {
	i.r.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		i.r.Fatal(err)
	}
	path := filepath.Join(i.r.dir, i.name+strings.ReplaceAll(target, "/", "_"))
	if err := os.WriteFile(path, []byte(rewrite(string(text), i.address)), 0o644); err != nil {
		i.r.Fatal(err)
	}
	return path
}

// startPostgres starts a server as the image does: with the user, the database and the
// password of the file, under its own address, and with the settings of the command.
func (i *instance) startPostgres() {
	r, s := i.r, i.service
	r.Helper()
	settings := strings.Join(s.Command[1:], " ")
	r.script("postgres", []string{
		"PG_HOST=" + i.address, "PG_PORT=5432", "PG_OPTIONS=" + settings,
		"PG_PASSWORD_FILE=" + r.project.Secrets[s.Secrets[0].Source].File,
	}, "start", filepath.Join(r.dir, "pg"))
	cmd := exec.Command("psql", "--host="+i.address, "--username="+*s.Environment["POSTGRES_USER"], "--dbname=postgres",
		"--command=CREATE DATABASE "+*s.Environment["POSTGRES_DB"])
	cmd.Env = append(os.Environ(), "PGPASSWORD="+i.secret(s.Secrets[0].Source))
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("create the database: %v\n%s", err, out)
	}
}

func (i *instance) stopPostgres() { i.r.script("postgres", nil, "stop", filepath.Join(i.r.dir, "pg")) }

func (i *instance) secret(name string) string {
	text, err := os.ReadFile(i.r.project.Secrets[name].File)
	if err != nil {
		i.r.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// script runs one of the repository's scripts.
func (r *runner) script(name string, env []string, args ...string) {
	r.Helper()
	cmd := exec.Command(filepath.Join(root(r), "scripts", name), args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("scripts/%s %v: %v\n%s", name, args, err, out)
	}
}

// get fetches a page, for health checks by wget.
func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return string(body), fmt.Errorf("%s answers %s", url, response.Status)
	}
	return string(body), nil
}
