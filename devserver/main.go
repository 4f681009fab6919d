// Command devserver is a development Amp server: it answers Flight SQL as a real
// one does, over a made-up chain or over folders of Parquet files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	if len(args) == 2 && args[0] == "--probe" {
		return probe(ctx, args[1])
	}
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

// probe reports whether a server listens on an address, for the health check of a
// container without a shell. A server listens when it can answer.
func probe(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("probe the server: %w", err)
	}
	return conn.Close()
}

func logger(level string) (zerolog.Logger, error) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log level %q is not one of trace, debug, info, warn, error", level)
	}
	return zerolog.New(os.Stderr).Level(parsed).With().Timestamp().Logger(), nil
}
