// Command plain is what anybody might run: an HTTP service in two halves, with metrics of Prometheus' own client, that knows
// nothing of who scales it. `tests/plain` runs it on the bed as two Deployments, and as the load that they are under.
//
//	client ──▶ head: queue, one worker ──▶ a connection of a few to tail ──▶ tail: queue, one worker ──▶ answer
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: plain serve [-next URL] [-work 100ms] [-queue 200] [-connections 4] [-payload 200000]
                   [-listen :8080] [-metrics :9100]
       plain load URL RATE:SECONDS...
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	words := os.Args[1:]
	if len(words) == 0 {
		words = []string{"nothing"}
	}
	var err error
	switch words[0] {
	case "serve":
		err = serve(ctx, words[1:])
	case "load":
		err = load(ctx, words[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// serve answers until it is told to end; what has begun is finished.
func serve(ctx context.Context, words []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	next := flags.String("next", "", "where the other half is; without it this is the last")
	work := flags.Duration("work", 100*time.Millisecond, "how long the worker takes")
	queue := flags.Int("queue", 200, "most requests that wait; more are answered 503")
	connections := flags.Int("connections", 4, "most calls of the other half at once")
	payload := flags.Int("payload", 200_000, "bytes that it is sent")
	at := flags.String("listen", ":8080", "where requests are answered")
	told := flags.String("metrics", ":9100", "where metrics are, at /metrics")
	flags.Parse(words)

	half := newHalf(*work, *queue)
	if *next != "" {
		half.tail = newTail(*next, *connections, *payload)
	}
	requests, metrics := http.NewServeMux(), http.NewServeMux()
	requests.Handle("POST /infer", half.measured())
	requests.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	metrics.Handle("GET /metrics", exposed())
	servers := []*http.Server{{Addr: *at, Handler: requests}, {Addr: *told, Handler: metrics}}
	ended := make(chan error, len(servers))
	for _, server := range servers {
		go func() { ended <- server.ListenAndServe() }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// Services need a moment to send it nothing more.
	time.Sleep(2 * time.Second)
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return servers[0].Shutdown(patience)
}
