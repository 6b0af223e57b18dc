// Command testbed is a Kubernetes cluster with two workers on one Linux machine, in one binary: the
// programs of Kubernetes, and what starts and stops them (package bed). `cargo xtask cluster` builds and
// calls it; docs/cluster.md tells how it is used.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"splitscale/testbed/bed"
)

//go:embed usage.txt
var usage string

// wrongUse is a mistake in the words.
type wrongUse struct{ why string }

func (w wrongUse) Error() string { return w.why }

func main() {
	words := os.Args[1:]
	here, err := bed.Here()
	if err == nil && len(words) > 0 && words[0] == "kubectl" {
		var path string
		if path, err = here.Kubeconfig(); err == nil {
			os.Setenv("KUBECONFIG", path)
		}
	}
	if err == nil && runComponent(words) {
		return
	}
	// After the components, which listen for signals themselves.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err == nil {
		err = run(ctx, here, words)
	}
	var wrong wrongUse
	switch {
	case err == nil:
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "error: %v\n\n%s", err, usage)
		os.Exit(2)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, here bed.Bed, words []string) error {
	if len(words) == 0 {
		return wrongUse{"no command"}
	}
	command, rest := words[0], words[1:]
	switch {
	case command == "up":
		options, err := upOptions(rest)
		if err != nil {
			return err
		}
		return here.Up(ctx, options)
	case command == "load" && len(rest) > 0:
		return load(ctx, here, rest)
	case command == "link" && len(rest) < 2:
		return link(ctx, here, rest)
	case command == "node" && len(rest) == 2:
		return node(ctx, here, rest[0], rest[1])
	case len(rest) == 0:
		return runBare(ctx, here, command)
	case len(rest) == 1:
		return runWith(ctx, here, command, rest[0])
	default:
		return wrongUse{fmt.Sprintf("%s does not take %q", command, rest)}
	}
}

// runBare runs a command that takes nothing.
func runBare(ctx context.Context, here bed.Bed, command string) error {
	switch command {
	case "help", "--help", "-h":
		fmt.Print(usage)
		return nil
	case "down":
		// What is begun is finished: half a bed helps nobody.
		return here.Down(context.WithoutCancel(ctx))
	case "status":
		return here.Status(ctx)
	case "kubeconfig":
		path, err := here.Kubeconfig()
		if err == nil {
			fmt.Println(path)
		}
		return err
	default:
		return wrongUse{fmt.Sprintf("unknown command, or not all that it needs: %s", command)}
	}
}

// runWith runs a command that takes one thing.
func runWith(ctx context.Context, here bed.Bed, command, thing string) error {
	switch command {
	case "stop", "hang":
		return here.Stop(ctx, thing, command == "hang")
	case "start":
		return here.Start(ctx, thing)
	case "inside": // not for users: a worker's first process
		return here.Inside(thing)
	case "external-metrics": // not for users: `up --external-metrics` starts it
		return here.ServeExternalMetrics(ctx, thing)
	default:
		return wrongUse{fmt.Sprintf("unknown command or argument: %s %s", command, thing)}
	}
}

func upOptions(words []string) (bed.Options, error) {
	var options bed.Options
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&options.HPASync, "hpa-sync", 0, "")
	flags.StringVar(&options.MetricsServer, "metrics-server", "", "")
	flags.StringVar(&options.DNS, "dns", "", "")
	flags.StringVar(&options.ExternalMetrics, "external-metrics", "", "")
	if err := flags.Parse(words); err != nil {
		return options, wrongUse{err.Error()}
	}
	if flags.NArg() > 0 || options.HPASync < 0 {
		return options, wrongUse{fmt.Sprintf("up does not take %q", words)}
	}
	if options.ExternalMetrics == "" {
		return options, nil
	}
	if _, err := os.Stat(options.ExternalMetrics); err != nil {
		return options, fmt.Errorf("--external-metrics: %w", err)
	}
	var err error
	options.ExternalMetrics, err = filepath.Abs(options.ExternalMetrics)
	return options, err
}

func load(ctx context.Context, here bed.Bed, paths []string) error {
	for _, path := range paths {
		names, err := here.Load(ctx, path)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Printf("%s is on both workers\n", name)
		}
	}
	return nil
}

func link(ctx context.Context, here bed.Bed, words []string) error {
	if _, err := here.Kubeconfig(); err != nil {
		return err
	}
	if len(words) == 1 {
		rate, err := bed.ParseRate(words[0])
		if err != nil {
			return wrongUse{err.Error()}
		}
		if err := here.SetLink(ctx, rate); err != nil {
			return err
		}
	}
	rate, err := here.Link(ctx)
	if err == nil {
		fmt.Printf("link: %v\n", rate)
	}
	return err
}

func node(ctx context.Context, here bed.Bed, action, name string) error {
	worker, err := bed.FindWorker(name)
	if err != nil {
		return wrongUse{err.Error()}
	}
	if _, err := here.Kubeconfig(); err != nil {
		return err
	}
	switch action {
	case "cut", "restore":
		return here.CutNode(ctx, worker, action == "cut")
	case "stop":
		return here.StopNode(ctx, worker)
	case "start":
		return here.StartNode(worker)
	default:
		return wrongUse{"node cut, restore, stop or start, not " + action}
	}
}
