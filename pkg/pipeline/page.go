package pipeline

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/page"
	"github.com/ampipe/ampipe/pkg/status"
)

// servedPage is the page of this process. A nil one is none.
type servedPage struct {
	cancel context.CancelFunc
	done   chan struct{}
	nats   atomic.Bool // the embedded server of this process has started
}

var errServerStarts = errors.New("the NATS server of this process is still starting")

// startPage serves the page of pipelines of one file until stop is called. Like metrics and
// health it is there before anything is connected. It reads through a connection of its own,
// which makes no stream, and so disturbs nothing that runs.
func startPage(ctx context.Context, pipelines []*config.Pipeline, role string, o Options) (*servedPage, error) {
	if !o.Page || len(pipelines) == 0 || pipelines[0].Page.Listen == "" {
		return nil, nil
	}
	address := pipelines[0].Page.Listen
	listener, taken, err := listenForPage(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &servedPage{done: make(chan struct{})}
	viewer := newViewer(pipelines, func(ctx context.Context, c config.NATS) (*natsConn, error) {
		switch {
		case c.Embedded == "":
			return openConn(ctx, nil, c, role, false, zerolog.Nop())
		case !s.nats.Load():
			return nil, errServerStarts
		default:
			return connectToRunning(ctx, c, zerolog.Nop())
		}
	})
	server := page.New(viewer.view)
	line := o.Logger.Info().Str("url", urlOf(listener))
	if taken {
		line.Msgf("%s is taken: the page is served at another port", address)
	} else {
		line.Msg("serving the page")
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(s.done)
		defer viewer.Close()
		if err := server.Serve(ctx, listener); err != nil {
			o.Logger.Warn().Err(err).Msg("the page is not served any more")
		}
	}()
	return s, nil
}

// connected says that the NATS server of this process runs, if it has one.
func (s *servedPage) connected() {
	if s != nil {
		s.nats.Store(true)
	}
}

// stop ends the page.
func (s *servedPage) stop() {
	if s != nil {
		s.cancel()
		<-s.done
	}
}

// listenForPage opens the address of the page, or another port of it if that one is taken:
// several processes of a machine may have a page.
func listenForPage(ctx context.Context, address string) (listener net.Listener, taken bool, err error) {
	const what = "for the page (page.listen)"
	listener, err = ops.Listen(ctx, address, what)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, false, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, true, err
	}
	listener, err = ops.Listen(ctx, net.JoinHostPort(host, "0"), what)
	return listener, true, err
}

// checkPage returns the error with which a run refuses the address of the page.
func checkPage(ctx context.Context, p *config.Pipeline) error {
	if p.Page.Listen == "" {
		return nil
	}
	listener, _, err := listenForPage(ctx, p.Page.Listen)
	if err != nil {
		return err
	}
	return listener.Close()
}

// urlOf returns where to open the page on this machine.
func urlOf(listener net.Listener) string {
	host := listener.Addr().String()
	if hosts, err := health.Dialable(host); err == nil {
		host = hosts[0]
	}
	return "http://" + host + "/"
}

// view reads what the page shows.
func (v *Viewer) view(ctx context.Context) page.View {
	var shown page.View
	all := v.each(ctx, func(f status.Facts) {
		shown.Details = append(shown.Details, status.NewDetail(f, page.Pieces))
		shown.Unseen = shown.Unseen || f.Now.IsZero()
	})
	shown.Overview = status.Summarize(all)
	return shown
}
