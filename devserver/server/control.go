package server

import (
	"fmt"
	"net/http"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/pkg/block"
)

// mostBlocks is how many blocks one command may add to a chain.
const mostBlocks = 1_000_000

// head is the state of a chain.
type head struct {
	Network string       `json:"network"`
	Start   block.Number `json:"start"`
	Number  block.Number `json:"number"`
	Hash    block.Hash   `json:"hash"`
	Paused  bool         `json:"paused"`
}

func headOf(m *chain.Miner) (head, error) {
	now := m.Chain.View()
	h := head{Network: m.Chain.Config().Network, Start: now.Range().Start, Paused: m.Paused()}
	if now.Range().Empty() {
		return h, fmt.Errorf("the chain of %s has no block yet", h.Network)
	}
	h.Number = now.Range().Last()
	h.Hash = now.Header(h.Number).Hash
	return h, nil
}

// handler returns the whole control API: that of the controller, and
//
//	GET  /chains/{network}         first and last block, and whether it is paused
//	POST /chains/{network}/mine    {"blocks": 3}: appends blocks, 1 if not said
//	POST /chains/{network}/reorg   {"depth": 2, "blocks": 1}: replaces the last
//	                               blocks and appends others, 1 and 1 if not said
//	POST /chains/{network}/pause   stops growth
//	POST /chains/{network}/resume  resumes it
//	POST /chains/{network}/forget  makes cursors on replaced blocks unknown
//	POST /streams/cut              closes every connection
//
// Each answers with the chain as it then is, the last with how many there were.
func (s *Server) handler() http.Handler {
	mux := s.Faults.Handler()
	mux.HandleFunc("POST /streams/cut", func(w http.ResponseWriter, _ *http.Request) {
		faults.Answer(w, map[string]int{"connections": s.Cut()})
	})
	s.onChain(mux, "GET /chains/{network}", func(*chain.Miner, command) error { return nil })
	s.onChain(mux, "POST /chains/{network}/mine", func(m *chain.Miner, c command) error {
		m.Chain.Grow(c.Blocks)
		return nil
	})
	s.onChain(mux, "POST /chains/{network}/reorg", func(m *chain.Miner, c command) error {
		return m.Chain.Fork(c.Depth, c.Blocks)
	})
	s.onChain(mux, "POST /chains/{network}/pause", func(m *chain.Miner, _ command) error {
		m.Pause()
		return nil
	})
	s.onChain(mux, "POST /chains/{network}/resume", func(m *chain.Miner, _ command) error {
		m.Resume()
		return nil
	})
	s.onChain(mux, "POST /chains/{network}/forget", func(m *chain.Miner, _ command) error {
		m.Chain.Forget()
		return nil
	})
	return mux
}

// command is the body of a request about a chain.
type command struct {
	Depth  uint64 `json:"depth"`
	Blocks uint64 `json:"blocks"`
}

func (s *Server) onChain(mux *http.ServeMux, pattern string, do func(*chain.Miner, command) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		m := s.miner(r.PathValue("network"))
		if m == nil {
			http.Error(w, "no made-up chain of that network", http.StatusNotFound)
			return
		}
		c := command{Depth: 1, Blocks: 1}
		err := faults.Read(w, r, &c)
		if err == nil && c.Blocks > mostBlocks {
			err = fmt.Errorf("%d blocks at once are too many: %d is the most", c.Blocks, mostBlocks)
		}
		if err == nil {
			err = do(m, c)
		}
		h, headErr := headOf(m)
		if err == nil {
			err = headErr
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		faults.Answer(w, h)
	})
}

func (s *Server) miner(network string) *chain.Miner {
	for _, m := range s.miners {
		if m.Chain.Config().Network == network {
			return m
		}
	}
	return nil
}
