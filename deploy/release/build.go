package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// release is what is made of one commit.
type release struct {
	root, out           string
	platforms, commands []string

	version, stamp string    // stamp is for the linker
	commit         time.Time // of the commit: the time of everything in an archive
}

// build makes the whole release.
func (r *release) build(ctx context.Context) error {
	if err := r.identify(ctx); err != nil {
		return err
	}
	software, err := survey(ctx, r.root)
	if err != nil {
		return err
	}
	if err := r.emptyOut(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ampipe-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // what is left is in the system's folder for such things
	share := filepath.Join(work, "share")
	if err := r.writeDocs(ctx, work, share); err != nil {
		return err
	}
	for _, platform := range r.platforms {
		began := time.Now()
		if err := r.buildPlatform(ctx, platform, filepath.Join(work, platform), share, software); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		fmt.Printf("%s: %.0f s\n", platform, time.Since(began).Seconds())
	}
	if err := r.unchanged(ctx); err != nil {
		return err
	}
	return r.writeSums()
}

// unchanged fails if the tree is no longer what the release is named after: what was
// built last would not be what was built first. Without checksums it is no release.
func (r *release) unchanged(ctx context.Context) error {
	now := &release{root: r.root}
	if err := now.identify(ctx); err != nil {
		return err
	}
	if now.stamp != r.stamp {
		return fmt.Errorf("the tree was %s when the release began, and is %s now: begin again", r.version, now.version)
	}
	return nil
}

// identify reads what scripts/stamp prints about the commit.
func (r *release) identify(ctx context.Context) error {
	ask := func(args ...string) (string, error) {
		out, err := output(ctx, r.root, nil, "scripts/stamp", args...)
		return strings.TrimSpace(string(out)), err
	}
	var err error
	if r.stamp, err = ask(); err != nil {
		return err
	}
	if r.version, err = ask("version"); err != nil {
		return err
	}
	seconds, err := ask("time")
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("a release is made of a commit, and %s is in no Git repository", r.root)
	}
	r.commit = time.Unix(at, 0).UTC()
	return nil
}

// emptyOut makes the folder of the release and removes what an earlier one left.
func (r *release) emptyOut() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"ampipe_*.tar.gz", "ampipe_*.cdx.json", "SHA256SUMS"} {
		old, err := filepath.Glob(filepath.Join(r.out, pattern))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeDocs has each command write its manual pages and completions: built with the
// tag "docs", that is all that it does.
func (r *release) writeDocs(ctx context.Context, work, share string) error {
	native := runtime.GOOS + "/" + runtime.GOARCH
	for _, c := range r.commands {
		program := filepath.Join(work, "docs", c)
		_, err := goCommand(ctx, r.root, native, "build",
			"-trimpath", "-tags", "docs,"+tags(runtime.GOOS), "-ldflags", "-s -w "+r.stamp, "-o", program, "./cmd/"+c)
		if err != nil {
			return err
		}
		_, err = output(ctx, work, []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.commit.Unix())}, program, share)
		if err != nil {
			return err
		}
		if err := os.Remove(program); err != nil {
			return err
		}
	}
	return nil
}

// name returns that of a platform's archive, without its ending, and of the folder in it.
func (r *release) name(platform string) string {
	return "ampipe_" + strings.TrimPrefix(r.version, "v") + "_" + strings.ReplaceAll(platform, "/", "_")
}

// buildPlatform builds the commands and writes the archive and bill of materials.
func (r *release) buildPlatform(ctx context.Context, platform, bin, share string, software []software) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w " + r.stamp, "-o", bin + "/"}
	for _, c := range r.commands {
		args = append(args, "./cmd/"+c)
	}
	if _, err := goCommand(ctx, r.root, platform, args...); err != nil {
		return err
	}
	files, err := r.files(platform, bin, share)
	if err != nil {
		return err
	}
	if err := writeArchive(filepath.Join(r.out, r.name(platform)+".tar.gz"), r.name(platform), files, r.commit); err != nil {
		return err
	}
	if err := r.writeBill(platform, bin, software); err != nil {
		return err
	}
	return os.RemoveAll(bin)
}

// files returns what goes into an archive: the path of each file in the archive, and
// where it is.
func (r *release) files(platform, bin, share string) (map[string]string, error) {
	files := map[string]string{}
	for _, top := range []string{"README.md", "CHANGELOG.md", "LICENSE", noticesFile} {
		files[top] = filepath.Join(r.root, top)
	}
	for _, c := range r.commands {
		files["bin/"+c] = filepath.Join(bin, c)
	}
	err := filepath.WalkDir(share, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(share, path)
		files["share/"+filepath.ToSlash(name)] = path
		return err
	})
	if err != nil {
		return nil, err
	}
	folders := map[string]string{"docs/*.md": "docs/"}
	if strings.HasPrefix(platform, "linux/") {
		folders["deploy/systemd/*.service"] = "lib/systemd/system/"
		folders["deploy/systemd/*.target"] = "lib/systemd/system/"
		files["lib/sysusers.d/ampipe.conf"] = filepath.Join(r.root, "deploy/systemd/ampipe.sysusers")
		files["lib/tmpfiles.d/ampipe.conf"] = filepath.Join(r.root, "deploy/systemd/ampipe.tmpfiles")
	}
	for pattern, to := range folders {
		found, err := filepath.Glob(filepath.Join(r.root, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			files[to+filepath.Base(path)] = path
		}
	}
	return files, nil
}

// writeSums writes the checksums of everything in the folder, as sha256sum checks them.
func (r *release) writeSums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "ampipe_") {
			continue
		}
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// sumOf returns the SHA-256 of a file.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
