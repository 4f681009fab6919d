package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
)

func healthCommand(flags *cli.Flags) *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "health [livez|readyz|healthz]",
		Short: "Ask a process on this machine whether it is well",
		Long: `Asks the process that was started with --listen ADDRESS, or that has its page there,
prints a short answer and ends with exit code 0 if it is good, else with 1:

  livez     must it be restarted?
  readyz    is it ready? A sink is when its history is complete.
  healthz   does it wait for something for longer than is normal? (default)

The address is written as for --listen: :9090 and 0.0.0.0:9090 ask this machine.
No configuration is read and nothing else is connected.`,
		Args: func(c *cobra.Command, questions []string) error {
			return ops.Config(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)(c, questions))
		},
		ValidArgs: []string{health.Livez, health.Readyz, health.Healthz},
		RunE: func(c *cobra.Command, questions []string) error {
			if address == "" {
				address = flags.Listen
			}
			if address == "" {
				return ops.Config(fmt.Errorf("no address is given: use --address, or set %s", cli.EnvListen))
			}
			question := health.Healthz
			if len(questions) > 0 {
				question = questions[0]
			}
			answer, err := health.Ask(c.Context(), question, address)
			if errors.Is(err, health.ErrAddress) {
				return ops.Config(err)
			}
			if err != nil {
				return err
			}
			return verdict(c.OutOrStdout(), question, answer)
		},
	}
	c.Flags().StringVar(&address, "address", "", "`address` that the process listens on (default: that of --listen)")
	return c
}

// verdict prints an answer, a line for each pipeline and each part that it names, and
// returns an error if it is not good.
func verdict(out io.Writer, question string, a health.Answer) error {
	for _, p := range a.Pipelines {
		_, _ = fmt.Fprintf(out, "%s: %s: %s\n", p.Pipeline, p.Level, p.Sentence)
	}
	for _, p := range a.Parts {
		since := ""
		if !p.Since.IsZero() {
			since = " since " + p.Since.Format(time.DateTime) + " UTC"
		}
		_, _ = fmt.Fprintf(out, "%s: %s: %s%s: %s\n", p.Pipeline, p.Part, p.State, since, p.Reason)
	}
	words := map[string][2]string{
		health.Livez:   {"live", "it hangs, and has to be restarted"},
		health.Readyz:  {"ready", "it is not ready"},
		health.Healthz: {"healthy", "it is not healthy"},
	}[question]
	if !a.OK {
		return errors.New(words[1])
	}
	_, _ = fmt.Fprintln(out, words[0])
	return nil
}
