package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// liveChain is a development server with a chain of its own that grows.
type liveChain struct {
	*process
	amp, control string // addresses
}

// startChain starts one with these arguments besides.
func (e *env) startChain(ctx context.Context, args ...string) (liveChain, error) {
	server, addresses, err := startListening(ctx, e.command(ctx, "devserver",
		append([]string{"--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--chain", "eth_rpc"}, args...)...), "listening", "control")
	if err != nil {
		return liveChain{}, err
	}
	return liveChain{server, addresses[0], addresses[1]}, nil
}

// mine appends blocks and returns the number of the last.
func mine(ctx context.Context, control string, blocks int) (uint64, error) {
	return askChain(ctx, http.MethodPost, control+"/chains/anvil/mine", fmt.Sprintf(`{"blocks":%d}`, blocks))
}

// head returns the number of the last block.
func (c liveChain) head(ctx context.Context) (uint64, error) {
	return askChain(ctx, http.MethodGet, c.control+"/chains/anvil", "")
}

// askChain returns the last block of a chain, which the control API answers with.
func askChain(ctx context.Context, method, url, body string) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the chain: %w", err)
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err != nil || response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask the chain: %s %s: %w", response.Status, text, err)
	}
	var head struct {
		Number uint64 `json:"number"`
	}
	return head.Number, json.Unmarshal(text, &head)
}
