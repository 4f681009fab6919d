package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
)

// Handler returns the control API:
//
//	GET    /faults   the switches as they are
//	POST   /faults   sets the switches named in the body, the others stay
//	DELETE /faults   sets all of them back
//	GET    /stats    the counters
//	POST   /streams/fail  ends the open streams with the code and text in the body
func (c *Controller) Handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /streams/fail", func(w http.ResponseWriter, r *http.Request) {
		s := Status{At: "doget", Code: Code(codes.Internal), Text: "streaming query execution error | Caused by: on request"}
		err := Read(w, r, &s)
		if err == nil {
			err = Switches{Status: &s}.Validate()
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("fail streams: %v", err), http.StatusBadRequest)
			return
		}
		Answer(w, map[string]int{"streams": c.Fail(codes.Code(s.Code), s.Text)})
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { Answer(w, c.Switches()) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { Answer(w, c.Stats()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		s := c.Switches()
		err := Read(w, r, &s)
		if err == nil {
			err = c.Set(s)
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("set faults: %v", err), http.StatusBadRequest)
			return
		}
		Answer(w, s)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		// The zero value is valid.
		_ = c.Set(Switches{})
		Answer(w, c.Switches())
	})
	return mux
}

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The caller has gone if this fails.
	_ = json.NewEncoder(w).Encode(v)
}

// Read fills v from the JSON body of a request; a body without anything leaves v
// as it is.
func Read(w http.ResponseWriter, r *http.Request, v any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	body.DisallowUnknownFields()
	if err := body.Decode(v); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
