package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// component is a part of the bed that is to run.
type component struct {
	name  string
	state string
}

const running = "runs"

// components tells of each process that `up` started how it is.
func (b Bed) components() []component {
	names := []string{}
	var options Options
	if readJSON(b.path("up.json"), &options) == nil {
		for _, part := range append(b.parts(options), b.extras(options)...) {
			names = append(names, part.name)
		}
	}
	for _, w := range Workers {
		names = append(names, w.Name)
	}
	states := map[string]string{}
	for _, p := range processes() {
		if p.folder != b.folder {
			continue
		}
		states[p.part] = running
		if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid)); strings.Contains(string(stat), ") T ") {
			states[p.part] = "hangs"
		}
	}
	var all []component
	for _, name := range names {
		state, is := states[name]
		if !is {
			state = "does not run"
		}
		all = append(all, component{name, state})
	}
	return all
}

// Status prints how the bed is. It is an error where something is missing.
func (b Bed) Status(ctx context.Context) error {
	if _, err := os.Stat(b.path("up.json")); err != nil {
		return errDown
	}
	var lacking []error
	for _, part := range b.components() {
		fmt.Printf("%-20s %s\n", part.name, part.state)
		if part.state != running {
			lacking = append(lacking, errors.New(part.name+" "+part.state))
		}
	}
	nodes, err := b.nodes(ctx)
	lacking = append(lacking, err)
	for _, line := range nodes {
		fmt.Println(line)
	}
	rate, err := b.Link(ctx)
	if err == nil {
		fmt.Printf("%-20s %v\n", "link", rate)
	}
	lacking = append(lacking, err)
	memory, count := b.memory()
	fmt.Printf("%-20s %d MB (PSS of %d processes, pods among them)\n", "memory", memory/1e6, count)
	fmt.Printf("%-20s %s\n", "logs", b.path("log"))
	return errors.Join(lacking...)
}

// nodes are a line each: what the API server knows of them.
func (b Bed) nodes(ctx context.Context) ([]string, error) {
	client, err := b.client()
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, node := range list.Items {
		state := "Ready"
		if lack := notReady(&node); lack != nil {
			state, err = "NotReady: "+lack.Error(), errors.Join(err, fmt.Errorf("node %s is not ready", node.Name))
		}
		lines = append(lines, fmt.Sprintf("%-20s %s", "node "+node.Name, state))
	}
	if len(lines) != len(Workers) {
		err = errors.Join(err, fmt.Errorf("%d nodes are known, of %d", len(lines), len(Workers)))
	}
	return lines, err
}

// memory sums up the proportional set size [bytes] of the bed's processes and all their descendants, and
// says how many they are. Pages that processes share count once.
func (b Bed) memory() (int, int) {
	children := map[int][]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		children[parent(pid)] = append(children[parent(pid)], pid)
	}
	seen := map[int]bool{}
	var add func(pid int)
	add = func(pid int) {
		if !seen[pid] {
			seen[pid] = true
			for _, child := range children[pid] {
				add(child)
			}
		}
	}
	for _, p := range processes() {
		if p.folder == b.folder {
			add(p.pid)
		}
	}
	sum := 0
	for pid := range seen {
		rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for _, line := range strings.Split(string(rollup), "\n") {
			if rest, is := strings.CutPrefix(line, "Pss:"); is {
				kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
				sum += kib * 1024
			}
		}
	}
	return sum, len(seen)
}
