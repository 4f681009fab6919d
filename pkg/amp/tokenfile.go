package amp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// early is how long before its end a token is replaced (AP 7).
const early = 5 * time.Minute

const adviceLogin = "log in again with the Amp CLI"

// tokenFile is the file in which the Amp CLI keeps its token (AP 7). Refresh
// tokens are good for one use, so of all processes that share the file only one
// may refresh it at a time: a lock on a file beside it ensures that, and a process
// that waited for the lock finds a fresh token and leaves it alone.
type tokenFile struct {
	path    string
	refresh refresher
	turn    chan struct{} // held by the goroutine that reads or refreshes
}

// login is the content of the file. Keys that are not ours are kept as they are.
type login struct {
	access, refresh, user string
	accounts              []string
	expiry                time.Time // zero if the file does not say
	fields                map[string]json.RawMessage
}

// openTokenFile checks that the file is there and can be read. Its errors are
// permanent.
func openTokenFile(path, url string, client *http.Client) (*tokenFile, error) {
	if rest, home := strings.CutPrefix(path, "~/"); home {
		folder, err := os.UserHomeDir()
		if err != nil {
			return nil, fault.Permanent(fmt.Errorf("find token file %s: %w", path, err))
		}
		path = filepath.Join(folder, rest)
	}
	// Rewriting replaces the file: replace the real one, not a link to it.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f := &tokenFile{path: path, refresh: refresher{url: url, client: client}, turn: make(chan struct{}, 1)}
	if _, err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// token returns a token that is valid for a while yet and is not the refused one,
// refreshing it if need be.
func (f *tokenFile) token(ctx context.Context, refused string) (string, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	// A plain read needs no lock: the file is only ever replaced whole.
	l, err := f.read()
	if err != nil || l.usable(refused) {
		return l.access, err
	}
	unlock, err := lock(ctx, f.path+".lock")
	if err != nil {
		return "", fmt.Errorf("lock token file %s: %w", f.path, err)
	}
	defer unlock()
	if l, err = f.read(); err != nil || l.usable(refused) {
		return l.access, err
	}
	if l, err = f.replace(ctx, l); err != nil {
		return "", fmt.Errorf("refresh token of %s: %w", f.path, err)
	}
	return l.access, nil
}

// replace refreshes l and replaces the file whole, readable by its owner alone.
// The new file is made before the old refresh token is spent: a folder that
// cannot be written to must not cost the login.
func (f *tokenFile) replace(ctx context.Context, l login) (login, error) {
	next, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*") // mode 0600
	if err != nil {
		return login{}, err
	}
	defer os.Remove(next.Name()) // a no-op once it has been renamed
	defer next.Close()           // likewise once it has been closed
	if l, err = f.refresh.refresh(ctx, l); err != nil {
		return login{}, err
	}
	text, err := l.text()
	if err != nil {
		return login{}, err
	}
	_, err = next.Write(text)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return login{}, err
	}
	return l, os.Rename(next.Name(), f.path)
}

func (l login) usable(refused string) bool {
	return l.access != refused && l.accounts != nil && time.Until(l.expiry) > early
}

// read returns the content of the file. Its errors are permanent and never quote
// the file.
func (f *tokenFile) read() (login, error) {
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return login{}, fault.Permanent(fmt.Errorf("token file %s does not exist; log in with the Amp CLI, or set a token", f.path))
	}
	if err != nil {
		return login{}, fault.Permanent(fmt.Errorf("read token file: %w", err))
	}
	l, err := parseLogin(text)
	if err != nil {
		return login{}, fault.Permanent(fmt.Errorf("token file %s: %w; %s", f.path, err, adviceLogin))
	}
	return l, nil
}

func parseLogin(text []byte) (login, error) {
	var l login
	if json.Unmarshal(text, &l.fields) != nil || l.fields == nil {
		return login{}, errors.New("not a JSON object")
	}
	var millis *int64
	for key, to := range map[string]any{
		"accessToken": &l.access, "refreshToken": &l.refresh, "userId": &l.user, "accounts": &l.accounts, "expiry": &millis,
	} {
		if raw, found := l.fields[key]; found && json.Unmarshal(raw, to) != nil {
			return login{}, fmt.Errorf("%q has an unexpected type", key)
		}
	}
	if l.access == "" || l.refresh == "" || l.user == "" {
		return login{}, errors.New("accessToken, refreshToken or userId is missing")
	}
	if millis != nil {
		l.expiry = time.UnixMilli(*millis)
	}
	return l, nil
}

// text returns the content of the file: l, and the keys that are not ours.
func (l login) text() (_ []byte, err error) {
	if l.accounts == nil {
		l.accounts = []string{} // "missing" would mean a refresh at every call
	}
	for key, value := range map[string]any{
		"accessToken": l.access, "refreshToken": l.refresh, "accounts": l.accounts, "expiry": l.expiry.UnixMilli(),
	} {
		if l.fields[key], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(l.fields, "", "  ")
}

// lock takes the lock that processes share and returns the function that releases it. The
// kernel releases it, too, when the process dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { _ = file.Close() }, nil // closing releases the lock
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			_ = file.Close()
			return nil, err
		}
		// A blocking lock could not be given up when ctx ends.
		if err := fault.Sleep(ctx, 20*time.Millisecond); err != nil {
			_ = file.Close()
			return nil, err
		}
	}
}
