// Command devserver is a development Amp server: it answers Flight SQL as a real
// one does, over a made-up chain or over folders of Parquet files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/rs/zerolog"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "devserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	options, err := parse(args)
	if err != nil {
		return err
	}
	s, err := server.Start(ctx, options)
	if err != nil {
		return err
	}
	fmt.Println("listening", s.URL())
	if s.ControlURL() != "" {
		fmt.Println("control", s.ControlURL())
	}
	<-ctx.Done()
	return s.Close()
}

func logger(level string) (zerolog.Logger, error) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log level %q is not one of trace, debug, info, warn, error", level)
	}
	return zerolog.New(os.Stderr).Level(parsed).With().Timestamp().Logger(), nil
}
