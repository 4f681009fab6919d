package redis

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// driverLog is set once: the driver has one logger for a whole process, which writes to
// standard error unless it is replaced.
var driverLog sync.Once

// LogTo passes on what the driver would print to standard error by itself: mostly what its
// errors say as well. It replaces the logger of go-redis for the whole process, and has no
// effect after the first call, or once a Writer has connected, from when on the driver
// prints nothing.
func LogTo(fn func(text string)) {
	driverLog.Do(func() { redis.SetLogger(driverLogger(fn)) })
}

func silence() { driverLog.Do(logging.Disable) }

// driverLogger is what [redis.SetLogger] takes.
type driverLogger func(text string)

// Printf passes a line on.
func (l driverLogger) Printf(_ context.Context, format string, args ...any) {
	l(fmt.Sprintf(format, args...))
}
