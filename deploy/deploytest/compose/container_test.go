//go:build linux

package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// specVariable makes this program start another one in a container instead of
// running tests.
const specVariable = "AMPIPE_TEST_CONTAINER"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(specVariable); ok {
		err := enter(text)
		fmt.Fprintln(os.Stderr, "start the container:", err)
		os.Exit(125) // as docker run
	}
	os.Exit(m.Run())
}

// mount is a file or folder of the machine that a container sees, or a file system in
// memory if there is no source.
type mount struct {
	Source, Target string
	ReadOnly       bool
}

// container is what a program sees of the machine when it starts.
type container struct {
	Root     string // becomes "/"
	ReadOnly bool
	Mounts   []mount
	UID, GID int
	Env      []string
	Args     []string
}

// command returns the command that starts args in the container.
func (c container) command(args []string) (*exec.Cmd, error) {
	c.Args = args
	spec, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = []string{specVariable + "=" + string(spec)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		// In a user namespace anybody may mount. What is mapped there is this user alone.
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: c.UID, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: c.GID, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT}
	}
	return cmd, nil
}

// enter makes the file system of a container, drops every right and becomes the
// program. It returns only if that fails.
func enter(spec string) error {
	runtime.LockOSThread() // some attributes are the thread's
	var c container
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := bind(c.Root, c.Root, c.ReadOnly); err != nil {
		return err
	}
	for _, m := range c.Mounts {
		target := filepath.Join(c.Root, m.Target)
		if m.Source == "" {
			if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
				return fmt.Errorf("mount a tmpfs at %s: %w", m.Target, err)
			}
			continue
		}
		if err := bind(m.Source, target, m.ReadOnly); err != nil {
			return err
		}
	}
	if err := unix.Chroot(c.Root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := become(c.UID, c.GID); err != nil {
		return err
	}
	os.Clearenv()
	for _, pair := range c.Env {
		name, value, _ := cut(pair)
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, c.Args, c.Env)
}

func bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// become changes the user, for good, and has the program die with the test.
func become(uid, gid int) error {
	if os.Getuid() == 0 {
		for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
			// An unknown one is not there to be dropped.
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		}
		if err := unix.Setgroups(nil); err != nil {
			return fmt.Errorf("leave the groups: %w", err)
		}
		if err := unix.Setgid(gid); err != nil {
			return fmt.Errorf("become group %d: %w", gid, err)
		}
		if err := unix.Setuid(uid); err != nil {
			return fmt.Errorf("become user %d: %w", uid, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no-new-privileges: %w", err)
	}
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// TestContainer checks that a program in a container is the user that it should be, may
// write where it should and nowhere else, and sees the files that are mounted.
func TestContainer(t *testing.T) {
	files := t.TempDir()
	mounts := libraries(t, files)
	for _, dir := range []string{"tmp", "data"} {
		if err := os.Mkdir(filepath.Join(files, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(files, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o444); err != nil {
		t.Fatal(err)
	}
	box := container{
		Root: files, ReadOnly: true, UID: 65532, GID: 65532, Env: []string{"PATH=/usr/bin:/bin", "NAME=value"},
		Mounts: append(mounts, mount{Target: "/tmp"}, mount{Source: secret, Target: "/secret", ReadOnly: true}),
	}
	cmd, err := box.command([]string{"sh", "-c", `echo $(id -u) $(id -g) $NAME $(cat /secret) $(ls /)
		touch /tmp/file && echo tmp; touch /data/file || touch /file || echo x >>/secret || echo read-only`})
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if want := "65532 65532 value hunter2 "; err != nil || !strings.HasPrefix(string(out), want) || !strings.HasSuffix(string(out), "\ntmp\nread-only\n") {
		t.Errorf("%v: it says %q, want %q and so on", err, out, want)
	}
	if strings.Contains(string(out), "root") || strings.Contains(string(out), "home") {
		t.Errorf("it sees folders of the machine: %q", out)
	}
}
