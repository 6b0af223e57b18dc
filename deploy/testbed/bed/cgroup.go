package bed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hierarchies are the mounted trees of control groups: one, or one a controller.
type hierarchies struct {
	folders []string
	v2      bool // one tree for all controllers
}

// findHierarchies tells which version this machine has. With both mounted, v1 has the controllers.
func findHierarchies() (hierarchies, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchies{}, err
	}
	var v1, v2 []string
	for _, line := range strings.Split(string(mounts), "\n") {
		left, right, _ := strings.Cut(line, " - ")
		place := strings.Fields(left)
		if len(place) < 5 {
			continue
		}
		switch strings.Fields(right)[0] {
		case "cgroup":
			v1 = append(v1, place[4])
		case "cgroup2":
			v2 = append(v2, place[4])
		}
	}
	switch {
	case len(v1) > 0:
		return hierarchies{v1, false}, nil
	case len(v2) > 0:
		return hierarchies{v2[:1], true}, nil
	default:
		return hierarchies{}, errors.New("no control groups are mounted under /sys/fs/cgroup")
	}
}

// The controllers that a kubelet wants, where the machine has one tree for all.
var controllers = []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}

// makeCgroups makes the folder of a worker in every tree: its kubelet's root.
func (b Bed) makeCgroups(w Worker) error {
	trees, err := findHierarchies()
	if err != nil {
		return err
	}
	for _, tree := range trees.folders {
		own := filepath.Join(tree, w.netns)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if trees.v2 {
			// What a group hands down must be handed to it first.
			for _, folder := range []string{tree, own} {
				if err := handDown(folder); err != nil {
					return err
				}
			}
			continue
		}
		// A new cpuset has no CPU and no memory node, and nothing can run in it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			parents, err := os.ReadFile(filepath.Join(tree, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(own, file), parents, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// handDown lets the groups below a folder use the controllers that it has.
func handDown(folder string) error {
	has, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(has)) {
		if slices.Contains(controllers, controller) {
			if err := setHanded(folder, "+"+controller); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeBack undoes handDown, but for what was handed down before it.
func takeBack(folder, before string) error {
	for _, controller := range strings.Fields(handed(folder)) {
		if slices.Contains(controllers, controller) && !slices.Contains(strings.Fields(before), controller) {
			if err := setHanded(folder, "-"+controller); err != nil {
				return err
			}
		}
	}
	return nil
}

const handedFile = "cgroup.subtree_control"

func handed(folder string) string {
	content, _ := os.ReadFile(filepath.Join(folder, handedFile))
	return string(content)
}

func setHanded(folder, change string) error {
	err := os.WriteFile(filepath.Join(folder, handedFile), []byte(change), 0)
	if err != nil {
		return fmt.Errorf("cannot write %s to %s of %s (are there processes in that group?): %w", change, handedFile, folder, err)
	}
	return nil
}

// removeCgroups takes the folders away. A group whose last process has just been killed is busy for a
// moment.
func (b Bed) removeCgroups() error {
	trees, err := findHierarchies()
	if err != nil {
		return nil // none to be removed
	}
	// On some machines both versions are mounted, and runc leaves a folder in the one without controllers.
	folders := append(trees.folders, "/sys/fs/cgroup/unified")
	for _, tree := range folders {
		for _, w := range Workers {
			own := filepath.Join(tree, w.netns)
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				if err = removeTree(own); err == nil {
					break
				}
				if time.Now().After(end) {
					return fmt.Errorf("cannot remove the control group %s: %w", own, err)
				}
			}
		}
	}
	return nil
}

// removeTree removes groups from the leaves up; the files in them are the kernel's.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
