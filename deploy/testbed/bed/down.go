package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Down takes everything away without a trace, whatever state it is in: processes, namespaces, links,
// routes, control groups, the machine's settings, the folder with its logs.
func (b Bed) Down(ctx context.Context) error {
	lock, err := b.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	for _, p := range processes() {
		if p.folder != b.folder {
			return fmt.Errorf("the bed that is up is that of %s: take it down as the user who started it", p.folder)
		}
	}
	return b.takeDown(ctx)
}

func (b Bed) takeDown(ctx context.Context) error {
	if err := b.takeDownButLogs(ctx); err != nil {
		return err
	}
	return os.RemoveAll(b.folder)
}

// takeDownButLogs does it in the order in which nothing comes back: those who start things first.
func (b Bed) takeDownButLogs(ctx context.Context) error {
	if err := b.killAll(ctx); err != nil {
		return err
	}
	if err := b.removeNetwork(ctx); err != nil {
		return err
	}
	if err := b.removeCgroups(); err != nil {
		return err
	}
	if err := b.restore(); err != nil {
		return err
	}
	// All but the logs.
	entries, _ := os.ReadDir(b.folder)
	for _, entry := range entries {
		if entry.Name() == "log" {
			continue
		}
		if err := os.RemoveAll(b.path(entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// killAll kills every process of the bed, and whoever else is in a worker's network. The workers' first
// processes take all their containers along. SIGTERM would be no kinder: nothing is worth keeping, and an
// API server that is asked to end waits for etcd, which has ended.
func (b Bed) killAll(ctx context.Context) error {
	return wait(ctx, "all processes have ended", 20*time.Second, b.path("log"), func(context.Context) error {
		var left []string
		for _, p := range processes() {
			if p.folder == b.folder {
				left = append(left, fmt.Sprintf("%s (%d)", p.part, p.pid))
				syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
		for _, pid := range b.guests() {
			left = append(left, strconv.Itoa(pid))
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) > 0 {
			return errors.New(strings.Join(left, ", ") + " still there")
		}
		return nil
	})
}

// guests are processes in the workers' network namespaces, of the bed or not: each would keep one alive.
func (b Bed) guests() []int {
	var own []os.FileInfo
	for _, w := range Workers {
		if info, err := os.Stat(filepath.Join(netnsFolder, w.netns)); err == nil {
			own = append(own, info)
		}
	}
	var found []int
	namespaces, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range namespaces {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		for _, w := range own {
			if os.SameFile(info, w) {
				pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
				found = append(found, pid)
			}
		}
	}
	return found
}
