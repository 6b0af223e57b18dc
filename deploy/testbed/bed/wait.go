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
func wait(ctx context.Context, what string, limit time.Duration, log string, missing func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := missing(ctx)
		if err == nil {
			return nil
		}
		if _, is := err.(final); is {
			return fmt.Errorf("%s will not come about: %w; its log is %s", what, err, log)
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == context.Canceled {
				return context.Canceled
			}
			return fmt.Errorf("%s did not come about within %.0f s: %w; its log is %s", what, limit.Seconds(), err, log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
