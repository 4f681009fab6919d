package pipeline

import (
	"iter"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/pool"
)

// settings are what of a pipeline's configuration may change while it runs. They are safe
// for concurrent use.
type settings struct {
	workers *pool.Size
	writers map[string]*pool.Size // by sink

	mu           sync.Mutex
	started      *config.Pipeline // that the stages were started with
	taken        *config.Pipeline // that was read last
	blocks       uint64           // of the history, once it is planned
	rowsPerBlock float64
	readers      int  // workers of all extractors that were there when partitions were made last
	counts       bool // they were counted
}

func newSettings(p *config.Pipeline) *settings {
	s := &settings{workers: pool.Of(p.Extract.Workers), writers: map[string]*pool.Size{}, started: p, taken: p}
	for _, sink := range p.Sinks {
		s.writers[sink.Name] = pool.Of(sink.Writers())
	}
	return s
}

// planned notes what the size of partitions is chosen by.
func (s *settings) planned(blocks uint64, rowsPerBlock float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks, s.rowsPerBlock = blocks, rowsPerBlock
}

// counted notes how many workers all extractors have together, and reports whether that is new.
func (s *settings) counted(readers int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.counts && s.readers == readers
	s.readers, s.counts = readers, true
	return !known
}

// partitionSize returns how many blocks a partition has that is planned now.
func (s *settings) partitionSize() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size := s.taken.Range.PartitionSize; size > 0 {
		return size
	}
	return plan.Size(s.blocks, max(s.taken.Extract.Workers, s.readers), s.rowsPerBlock)
}

// cut divides blocks into the partitions that are planned of them now.
func (s *settings) cut(r block.Range) iter.Seq[block.Range] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return partitions(s.taken, r, s.blocks, s.rowsPerBlock, s.readers)
}

// partitions divides blocks of a history into partitions, for as many workers as one extractor
// has, or all together if they are more.
func partitions(p *config.Pipeline, r block.Range, history uint64, rowsPerBlock float64, readers int) iter.Seq[block.Range] {
	if size := p.Range.PartitionSize; size > 0 {
		return plan.CutEach(r, size)
	}
	workers := max(p.Extract.Workers, readers)
	return plan.CutEvenly(r, plan.Size(history, workers, rowsPerBlock), workers)
}

// enough reports whether a sample is large enough to plan a history of so many blocks.
func (s *settings) enough(blocks uint64, sample plan.Sample) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sample.Rows > 0 && (s.taken.Range.PartitionSize > 0 || sample.Decides(blocks, s.taken.Extract.Workers))
}

// mostBlocks returns how many blocks a partition may have that a worker takes now; 0: any
// number.
func (s *settings) mostBlocks() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.Range.PartitionSize
}

// take takes of a configuration what may change while the stages run, and logs what has
// changed: what is taken, and what to do about the rest. here are the stages of this process.
func (s *settings) take(p *config.Pipeline, here []string, log zerolog.Logger) {
	s.mu.Lock()
	running, all := p.Changes(s.taken), p.Changes(s.started)
	s.taken = p
	s.mu.Unlock()
	s.workers.Set(p.Extract.Workers)
	for _, sink := range p.Sinks {
		i := slices.IndexFunc(s.started.Sinks, func(was config.Sink) bool { return was.Name == sink.Name })
		if i >= 0 && s.started.Sinks[i].Kind() == sink.Kind() {
			s.writers[sink.Name].Set(sink.Writers())
		}
	}
	taken, rest, elsewhere := 0, 0, []string{}
	for _, c := range running {
		if c.Running && concerns(c, here) {
			taken++
			log.Info().Str("key", c.Key).Str("from", c.From).Str("to", c.To).Msg("the changed key is taken")
		}
	}
	for _, c := range all {
		switch {
		case len(c.Stages) > 0 && !concerns(c, here):
			elsewhere = append(elsewhere, c.Key)
		case !c.Running:
			rest++
			log.Warn().Str("key", c.Key).Msg(whatToDo(c))
		}
	}
	log.Info().Int("taken", taken).Int("not_taken", rest).Strs("of_other_processes", elsewhere).Msg("the configuration was read again")
}

// concerns reports whether one of the stages uses a key.
func concerns(c config.Change, here []string) bool {
	return slices.ContainsFunc(c.Stages, func(s config.Stage) bool {
		switch {
		case s == config.Planner:
			return slices.Contains(here, stagePlanner)
		case s == config.Extractor:
			return slices.Contains(here, stageExtractor)
		case c.Sink != "":
			return slices.Contains(here, stageSink(c.Sink))
		default: // of any sink
			return slices.ContainsFunc(here, func(stage string) bool { return stage != stagePlanner && stage != stageExtractor })
		}
	})
}

// whatToDo says what becomes of a changed key that is not taken while the stages run.
func whatToDo(c config.Change) string {
	switch c.Effect {
	case config.Added:
		return "the sink is new: it runs once the planner and the sink are started again"
	case config.Removed:
		return "the sink is not in the configuration any more: it stays until the planner is started again and the sink is stopped; " +
			"then ampipe forget lets go what NATS keeps of it"
	case config.Another:
		return "the changed key names another destination: it is loaded from the beginning once this process is started again"
	case config.Refused:
		return "the changed key does not suit what is loaded: ampipe check says what to do before this process is started again"
	case config.TakesOver:
		if slices.Contains(c.Stages, config.Planner) {
			return "the changed key is taken once this process is started again; ampipe plan shows what will be loaded"
		}
		return "the changed key is taken once this process is started again, for what is loaded from then on"
	default:
		return "the changed key is taken once this process is started again"
	}
}
