package progress

import "time"

// speed is a rate over the last few seconds, in buckets of one second.
type speed struct {
	buckets [speedWindow]uint64
	last    int64 // second of the newest bucket
	first   int64 // second of the first count
}

const speedWindow = 10 // seconds

func (s *speed) add(now time.Time, n uint64) {
	s.advance(now.Unix())
	s.buckets[s.last%speedWindow] += n
}

func (s *speed) advance(second int64) {
	if s.first == 0 {
		s.first, s.last = second, second
	}
	for s.last < second {
		s.last++
		s.buckets[s.last%speedWindow] = 0
		if second-s.last > speedWindow {
			s.last = second - speedWindow
		}
	}
}

// perSecond returns the rate over the window, or over the time since the first
// count where that is shorter.
func (s *speed) perSecond(now time.Time) float64 {
	if s.first == 0 {
		return 0
	}
	s.advance(now.Unix())
	var sum uint64
	for _, n := range s.buckets {
		sum += n
	}
	return float64(sum) / float64(min(s.last-s.first+1, speedWindow))
}
