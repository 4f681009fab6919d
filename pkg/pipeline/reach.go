package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
)

// reachWait is how long a command waits for a process that is starting, or for another
// command, to be done with the folder.
const reachWait = 15 * time.Second

// reachEmbedded connects a command to the embedded server of c: the one that a process
// runs, or, when none runs, one of its own in the folder.
func reachEmbedded(ctx context.Context, c config.NATS, log zerolog.Logger) (*natsConn, error) {
	if _, err := os.Stat(c.Embedded); errors.Is(err, fs.ErrNotExist) {
		return nil, errNeverRun
	}
	for began := time.Now(); ; {
		n, err := startNATS(ctx, c, roleOperator, log)
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w; or give the command as the user that ampipe runs as", err)
		}
		if errors.Is(err, queue.ErrInUse) {
			n, err = connectToRunning(ctx, c, log)
		}
		if err == nil || fault.Of(err) == fault.ClassPermanent || time.Since(began) > reachWait {
			return n, err
		}
		if cause := fault.Sleep(ctx, 100*time.Millisecond); cause != nil {
			return nil, cause
		}
	}
}

// steerNATS connects a command that changes the plan. Where processes have users of their
// own it needs the rights of the planner.
func steerNATS(ctx context.Context, c config.NATS, log zerolog.Logger) (*natsConn, error) {
	if c.Embedded != "" {
		return reachEmbedded(ctx, c, log)
	}
	return openConn(ctx, nil, c, rolePlanner, false, log)
}

// errNeverRun says that the pipeline has left nothing: it was never run.
var errNeverRun = ops.Config(errors.New("nothing was started with this configuration yet: start it with ampipe run"))

// connectToRunning connects to the server of the process that has the folder.
func connectToRunning(ctx context.Context, c config.NATS, log zerolog.Logger) (*natsConn, error) {
	url, key, err := queue.RunningServer(c.Embedded)
	if err != nil {
		return nil, err
	}
	n, err := openConn(ctx, nil, config.NATS{URL: url, NKey: key}, roleOperator, false, log)
	if silence, is := errors.AsType[net.Error](err); is && silence.Timeout() {
		return nil, hangs(c.Embedded)
	}
	if err != nil { // it may have ended this moment
		return nil, fault.Later(fmt.Errorf("reach the process that has the folder %s: %w", c.Embedded, err), 0)
	}
	return n, nil
}

// hangs says that the process that has a folder accepts connections and does not answer.
func hangs(folder string) error {
	pid := queue.HolderOf(folder)
	return fault.Later(fmt.Errorf("process %[1]s runs in the folder %[2]s and does not answer: it hangs, or somebody has stopped it; "+
		"let it continue (kill -CONT %[1]s), or end it (kill -9 %[1]s) and start it again", pid, folder), 0)
}
