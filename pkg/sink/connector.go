package sink

import "context"

// Connector is a Writer of which a part of Open takes long and changes nothing. It is done
// while nobody knows yet whether the table is to be made.
type Connector interface {
	Writer

	// Connect connects and reads what Open will need, and keeps the connection for it. It
	// changes nothing in the destination. It comes before Open, which makes every check
	// whether Connect has succeeded or not; Table.Epoch is not known yet. Close may follow
	// without Open.
	Connect(ctx context.Context, t Table) error
}
