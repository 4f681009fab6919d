package trouble

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Handler is the control API:
//
//	GET    /faults   the switches as they are
//	POST   /faults   sets the switches named in the body, the others stay
//	DELETE /faults   sets all of them back
//	GET    /stats    the counters
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Switches()) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Stats()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		s := d.Switches()
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		body.DisallowUnknownFields()
		err := body.Decode(&s)
		if err == nil {
			err = d.Set(s)
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("set faults: %v", err), http.StatusBadRequest)
			return
		}
		answer(w, s)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		// The zero value is valid.
		_ = d.Set(Switches{})
		answer(w, d.Switches())
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The caller is gone if this fails; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}
