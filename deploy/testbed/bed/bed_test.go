package bed

import (
	"path/filepath"
	"strings"
	"testing"
)

// A worker's first process has the environment that the bed gives its parts, and nothing else: it must come to the same folder.
func TestAPartIsOfTheBedThatStartedIt(t *testing.T) {
	t.Setenv("HOME", "/home/somebody")
	t.Setenv("XDG_CACHE_HOME", "/elsewhere")
	t.Setenv(markFolder, "")
	started, err := Here()
	if err != nil || started.folder != filepath.Join("/elsewhere", "splitscale", "testbed", "run") {
		t.Fatalf("%v, %v", started, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	for _, variable := range started.environment("worker-1") {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	if part, err := Here(); err != nil || part != started {
		t.Errorf("%v, %v", part, err)
	}
}
