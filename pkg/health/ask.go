package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The questions that a process answers, as they are in its URLs.
const (
	Livez   = "livez"
	Readyz  = "readyz"
	Healthz = "healthz"
)

const (
	askWait   = 5 * time.Second // bounds one question
	maxAnswer = 4 << 20         // bytes of an answer that are read
)

// ErrAddress is the error for an address that cannot be asked as it is written.
var ErrAddress = errors.New("the address cannot be asked")

// Ask asks the process of this machine that listens on an address, which is written
// as for --listen.
func Ask(ctx context.Context, question, address string) (Answer, error) {
	hosts, err := Dialable(address)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without a proxy
	var a Answer
	for _, host := range hosts {
		a, err = ask(ctx, client, "http://"+host+"/"+question)
		if !refused(err) {
			return a, err
		}
	}
	return Answer{}, fmt.Errorf("no process listens on %s (%w); was it started with --listen?", address, err)
}

// refused reports whether nothing listens there.
func refused(err error) bool {
	call, is := errors.AsType[*net.OpError](err)
	return is && call.Op == "dial" && !call.Timeout()
}

func ask(ctx context.Context, client *http.Client, url string) (a Answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return a, err // it names the URL
	}
	defer func() { _ = response.Body.Close() }() // it is read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return a, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if !slices.Contains([]int{http.StatusOK, http.StatusServiceUnavailable}, response.StatusCode) {
		return a, fmt.Errorf("%s answers %s: does ampipe listen there?", url, response.Status)
	}
	err = json.Unmarshal(body, &a)
	if err != nil || a.OK != (response.StatusCode == http.StatusOK) {
		return Answer{}, fmt.Errorf("%s does not answer as ampipe does: is it another program that listens there?", url)
	}
	return a, nil
}

// Dialable returns where to reach a process that listens on an address, in the order
// in which to try: a listener on every interface is reached through loopback.
func Dialable(listen string) ([]string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "" || port == "0" || strings.Contains(host, "/") {
		return nil, fmt.Errorf("%w: %q: write it as for --listen, as in :9090 or 127.0.0.1:9090", ErrAddress, listen)
	}
	loopbacks := []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	ip := net.ParseIP(host)
	switch {
	case host == "", ip.Equal(net.IPv4zero):
		return loopbacks, nil
	case ip.Equal(net.IPv6unspecified):
		return []string{loopbacks[1], loopbacks[0]}, nil
	default:
		return []string{listen}, nil
	}
}
