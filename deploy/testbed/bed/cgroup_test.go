package bed

import (
	"os"
	"path/filepath"
	"testing"
)

func TestControllersAreHandedDownAndTakenBack(t *testing.T) {
	// A file keeps the last thing that was written to it; the kernel would keep the sum.
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	put := func(name, content string) {
		if err := os.WriteFile(file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("cgroup.controllers", "misc cpu rdma\n")
	put(handedFile, "")
	if err := handDown(folder); err != nil || handed(folder) != "+cpu" {
		t.Errorf("handed down: %q, %v", handed(folder), err)
	}
	put(handedFile, "memory cpu misc\n")
	if err := takeBack(folder, "memory\n"); err != nil || handed(folder) != "-cpu" {
		t.Errorf("taken back: %q, %v", handed(folder), err)
	}
	put(handedFile, "memory cpu\n")
	if err := takeBack(folder, "cpu memory\n"); err != nil || handed(folder) != "memory cpu\n" {
		t.Errorf("what was handed down before: %q, %v", handed(folder), err)
	}
}

func TestGroupsAreRemovedFromTheLeavesUp(t *testing.T) {
	root := filepath.Join(t.TempDir(), "worker")
	if err := os.MkdirAll(filepath.Join(root, "kubepods", "pod", "container"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := removeTree(root); err != nil {
		t.Error("what is not there cannot be removed:", err)
	}
}
