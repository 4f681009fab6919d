package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// When garbage is collected, in percent of what is in use. Rows are a few large buffers
// without pointers: marking them costs little, and garbage is what most of the memory would
// be at the runtime's default of 100.
const (
	CollectExtractor = 20 // its buffers are used again, so that it needs few collections
	CollectSink      = 30
	CollectRun       = 50 // ampipe run, which has the log's cache besides: 30 cost a tenth of its CPU
	CollectLake      = 30 // ampipe run into Delta Lake, which holds more and makes less garbage: a hundredth
)

// SaveMemory has the garbage collected earlier than usual, unless the user has
// set GOGC or GOMEMLIMIT, and memory that is not needed any more returned to the system: a
// process that has loaded its history, and follows the chain, needs a tenth of it.
func SaveMemory(collectAt int) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(collectAt)
	}
	new(returner).watch()
}

const (
	// quiet is how long a process has to be quiet.
	quiet = 15 * time.Second
	// quietBytes is what a process that loads nothing allocates in that time at most.
	quietBytes = 64 << 20
	// loadBytes is what a process has allocated at least that has loaded something. One that
	// follows the chain needs minutes for it.
	loadBytes = 256 << 20
	// worthReturning is how much unused memory makes it worth to return it.
	worthReturning = 8 << 20
)

// returner returns memory to the system when the process has become quiet. The runtime by
// itself keeps what it needed at its last collection, the next of which a quiet process may
// not need for minutes. It looks only after collections, and then until the process is quiet,
// so that it does not wake an idle one.
type returner struct {
	mu        sync.Mutex
	waits     bool
	allocated uint64 // when it began to wait
	returned  uint64 // allocated when memory was returned last
}

// watch has collected called after the next collection, and each after it.
func (r *returner) watch() {
	sentinel := new([64]byte) // garbage at once
	runtime.AddCleanup(sentinel, func(r *returner) {
		r.collected()
		r.watch()
	}, r)
}

func (r *returner) collected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waits {
		r.waits = true
		r.allocated, _ = memoryUse()
		time.AfterFunc(quiet, r.look)
	}
}

// look returns what is unused if hardly anything was allocated meanwhile. Otherwise it looks
// once more later: the process may be quiet then, and without a collection for a long time.
func (r *returner) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, unused := memoryUse()
	if now-r.allocated > quietBytes {
		r.allocated = now
		time.AfterFunc(quiet, r.look)
		return
	}
	r.waits = false
	// What a load has left may be garbage that is not collected yet, and not be for minutes:
	// then it does not count as unused.
	if unused >= worthReturning || now-r.returned >= loadBytes {
		r.returned = now
		runtime.GC() // of what is in pools, the first only marks what nobody has used since
		debug.FreeOSMemory()
	}
}

// memoryUse returns how many bytes were ever allocated, and how many the runtime holds without
// a need.
func memoryUse() (allocated, unused uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64()
}
