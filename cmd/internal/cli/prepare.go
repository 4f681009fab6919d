package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ampipe/ampipe/pkg/ops"
)

// prepare completes a process's command with what all have in common: the version,
// the exit codes in the help, and one line with exit code 2 for a command line that
// cannot be.
func prepare(root *cobra.Command) {
	root.SilenceUsage = true
	root.SilenceErrors = true
	root.Long = strings.TrimSpace(root.Long) + "\n" + exitCodes
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(flagError)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	refuseUnknown(root)
	versionFlag(root)
}

// refuseUnknown makes c and all commands below it refuse arguments that they do not
// take. By itself a command with subcommands would print its help for a subcommand
// that does not exist, and succeed.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	switch {
	case c.Name() == "help" && c.HasParent():
		c.Args = helpTopic
	case c.HasSubCommands() && !c.Runnable():
		c.Args = subcommand
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	case c.Args != nil:
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error { return arguments(c, args, check) }
	}
}

// subcommand refuses the arguments of a command that takes a subcommand.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return ops.Config(fmt.Errorf("unknown command %q for %q%s", args[0], c.CommandPath(), suggestOrHelp(c, args[0], names)))
}

// helpTopic refuses help about a command that does not exist.
func helpTopic(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	if err != nil || found == nil {
		found, rest = c.Root(), args
	}
	return subcommand(found, rest)
}

// arguments refuses what the command's own check does.
func arguments(c *cobra.Command, args []string, check cobra.PositionalArgs) error {
	err := check(c, args)
	if err == nil {
		return nil
	}
	if i := slices.IndexFunc(args, func(a string) bool { return !slices.Contains(c.ValidArgs, a) }); i >= 0 && len(c.ValidArgs) > 0 {
		return ops.Config(fmt.Errorf("unknown argument %q for %q%s", args[i], c.CommandPath(), suggestOrHelp(c, args[i], c.ValidArgs)))
	}
	if len(args) > 0 && check(c, nil) == nil && check(c, args[:1]) != nil {
		err = fmt.Errorf("%q takes no argument, and was given %q", c.CommandPath(), args[0])
	}
	return ops.Config(fmt.Errorf("%w; see %q", err, c.CommandPath()+" --help"))
}

// flagError names the nearest flag of a command that has no such flag, or where all of
// them are listed.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		})
		return ops.Config(fmt.Errorf("%w%s", err, suggestOrHelp(c, "--"+unknown.GetSpecifiedName(), names)))
	}
	return ops.Config(fmt.Errorf("%w; see %q", err, c.CommandPath()+" --help"))
}

// suggestOrHelp returns the end of a message about a name that does not exist: the
// nearest that does, or where all of them are listed.
func suggestOrHelp(c *cobra.Command, name string, names []string) string {
	if s := didYouMean(name, names); s != "" {
		return s
	}
	return fmt.Sprintf("; see %q", c.CommandPath()+" --help")
}
