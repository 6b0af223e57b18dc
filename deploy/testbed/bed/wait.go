package bed

import (
	"context"
	"fmt"
	"time"
)

// final is a lack that waiting does not mend.
type final struct{ error }

// wait asks until there is nothing that is missing any more. After limit, or when ctx ends, it is an
// error that says what was missing last, and which log tells more.
func wait(ctx context.Context, until string, limit time.Duration, log string, missing func(context.Context) error) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(whole, limit)
	defer cancel()
	for {
		err := missing(ctx)
		if err == nil {
			return nil
		}
		if _, is := err.(final); is {
			return fmt.Errorf("waiting until %s: %w (see %s)", until, err, log)
		}
		select {
		case <-ctx.Done():
			if whole.Err() == context.Canceled {
				return whole.Err() // the user has given it up
			}
			return fmt.Errorf("waited %.0f s in vain until %s: %w (see %s)", limit.Seconds(), until, err, log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
