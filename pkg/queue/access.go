package queue

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/ampipe/ampipe/pkg/fault"
)

// ErrInUse says that another process has the folder of an embedded server.
var ErrInUse = errors.New("the folder is in use")

// accessFile holds how commands of this machine reach the server that runs in a folder: its
// URL and the seed of the only key that it accepts. It is there while the server runs. That
// of a process that was killed is recognised by the lock, which ended with the process.
func accessFile(dir string) string { return filepath.Join(dir, "access") }

// access is how a server lets in those who can read its folder.
type access struct {
	file string // of [accessFile]; empty: nobody is let in
	key  nkeys.KeyPair
	seed []byte
	name string // the public key
}

// newAccess makes a key for one run of a server.
func newAccess(dir string) (*access, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	a := &access{file: accessFile(dir), key: key}
	if a.seed, err = key.Seed(); err == nil {
		a.name, err = key.PublicKey()
	}
	return a, err
}

// option identifies the process itself, which needs the key like all others.
func (a *access) option() nats.Option { return nats.Nkey(a.name, a.key.Sign) }

// publish writes the file, in one step.
func (a *access) publish(url string) error {
	next := a.file + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := fmt.Sprintf("%s\n%s\n", url, a.seed)
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, a.file)
}

// withdraw removes the file.
func (a *access) withdraw() error {
	err := os.Remove(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// RunningServer returns how to connect to the server that another process runs in a folder:
// the URL and the file with the key, for [Config]. An error is fault.Later if the process
// has not opened the server yet.
func RunningServer(dir string) (url, keyFile string, err error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", "", folderError(dir, err)
	}
	file := accessFile(path)
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", fault.Later(fmt.Errorf("process %s has the folder %s and lets no command in: "+
			"it is still starting, or of an earlier version, which has to be stopped first", HolderOf(path), path), 0)
	case errors.Is(err, fs.ErrPermission):
		return "", "", fault.Permanent(fmt.Errorf("process %s has the folder %s, and this user may not read %s: "+
			"give the command as the user that ampipe runs as", HolderOf(path), path, file))
	case err != nil:
		return "", "", fmt.Errorf("read how to reach the running process: %w", err)
	}
	url, _, _ = strings.Cut(string(text), "\n")
	return url, file, nil
}

// HolderOf returns the id of the process that has the folder of an embedded server, for
// people.
func HolderOf(dir string) string {
	text, _ := os.ReadFile(lockFile(dir)) // without it the process is not known
	pid, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return cmp.Or(pid, "(unknown)")
}
