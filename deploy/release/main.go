// Command release makes what a release of ampipe consists of: for each platform an
// archive with the commands, their manual pages and completions, the units for
// systemd and the documentation; a bill of materials; and the checksums of all of
// them. The same commit, built by the same release of Go, makes the same bytes.
//
//	release [-root …] [-out dist] [-platforms linux/amd64,…] [-commands ampipe,…]
//	release -notices write|check
//
// It is a module of its own, because the product needs nothing of what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	root := flags.String("root", "../..", "`folder` of the repository")
	out := flags.String("out", "dist", "`folder` for the archives; what it holds of an earlier release is removed")
	platforms := flags.String("platforms", strings.Join(allPlatforms(), ","), "`list` of operating system/architecture")
	commands := flags.String("commands", "", "`list` of commands (default: all)")
	notices := flags.String("notices", "", "write or check the third-party notices instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	r := &release{root: *root, out: *out, platforms: strings.Split(*platforms, ",")}
	for _, p := range r.platforms {
		if !slices.Contains(allPlatforms(), p) {
			return fmt.Errorf("platform %q is not one of %s", p, strings.Join(allPlatforms(), ", "))
		}
	}
	all, err := commandsOf(*root)
	if err != nil {
		return err
	}
	r.commands = all
	if *commands != "" {
		r.commands = strings.Split(*commands, ",")
	}
	for _, c := range r.commands {
		if !slices.Contains(all, c) {
			return fmt.Errorf("command %q is not one of %s", c, strings.Join(all, ", "))
		}
	}
	switch *notices {
	case "":
		return r.build(ctx)
	case "write":
		return writeNotices(ctx, *root)
	case "check":
		return checkNotices(ctx, *root)
	}
	return errors.New("-notices takes write or check")
}
