package bed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Options are what `up` was asked for.
type Options struct {
	HPASync         int    `json:"hpa_sync"`         // period in which the HPAs are looked at [s]; 0: Kubernetes' own
	MetricsServer   string `json:"metrics_server"`   // its binary; empty for none
	ExternalMetrics string `json:"external_metrics"` // file that external metrics are read from; empty for none
	DNS             string `json:"dns"`              // CoreDNS's binary; empty for none
}

// before is what the machine was like before the bed, to be restored after it.
type before struct {
	Sysctls     map[string]string `json:"sysctls"`
	Namespaces  bool              `json:"namespaces"`  // whether there was a /run/netns
	Controllers string            `json:"controllers"` // what the topmost group handed down; version 2 only
}

// The settings of the whole machine that the kubelet changes.
var sysctls = []string{
	"kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
	"vm/overcommit_memory", "vm/panic_on_oom",
}

const netnsFolder = "/run/netns"

// remember writes down what the machine is like. What an earlier `up` wrote stays: it saw the machine
// as it was, and this one sees what that one made of it.
func (b Bed) remember() error {
	path := b.path("before.json")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	seen := before{Sysctls: map[string]string{}}
	for _, name := range sysctls {
		if value, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			seen.Sysctls[name] = strings.TrimSpace(string(value))
		}
	}
	_, err := os.Stat(netnsFolder)
	seen.Namespaces = err == nil
	if trees, err := findHierarchies(); err == nil && trees.v2 {
		seen.Controllers = handed(trees.folders[0])
	}
	return writeJSON(path, seen)
}

// restore makes the machine's settings what they were.
func (b Bed) restore() error {
	var seen before
	if err := readJSON(b.path("before.json"), &seen); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for name, value := range seen.Sysctls {
		path := filepath.Join("/proc/sys", name)
		if now, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("cannot set %s back to %s: %w", path, value, err)
		}
	}
	if trees, err := findHierarchies(); err == nil && trees.v2 {
		if err := takeBack(trees.folders[0], seen.Controllers); err != nil {
			return err
		}
	}
	if !seen.Namespaces {
		return removeEmptyNetns()
	}
	return nil
}

// removeEmptyNetns takes away the folder that `ip netns add` made and mounted on itself.
func removeEmptyNetns() error {
	names, err := os.ReadDir(netnsFolder)
	if errors.Is(err, fs.ErrNotExist) || len(names) > 0 {
		return nil // never made, or someone else has namespaces by now
	}
	// As often as it was mounted; not mounted is EINVAL.
	for err = nil; err == nil; {
		err = syscall.Unmount(netnsFolder, syscall.MNT_DETACH)
	}
	return os.Remove(netnsFolder)
}

// lock keeps two commands that change the bed apart. It is held until the file is closed, or the
// process ends however it ends. What is locked is the folder above the bed's, which stays.
func (b Bed) lock() (*os.File, error) {
	folder := filepath.Dir(b.folder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return file, nil
		}
	}
	file.Close()
	return nil, fmt.Errorf("another `cluster up` or `cluster down` has been at work for three minutes (lock of %s): %w", folder, err)
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return write(path, append(content, '\n'))
}

func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
