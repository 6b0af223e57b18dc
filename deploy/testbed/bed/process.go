package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every process of the bed carries these in its environment, and hands them down. That finds it again
// where no file says its number, and no number that was given to someone else is ever taken for it.
const (
	markFolder = "SPLITSCALE_TESTBED_FOLDER" // the bed's folder
	markPart   = "SPLITSCALE_TESTBED_PART"   // e.g. "apiserver", "worker-1"
)

// A user's PATH has not always the folders of what root may call.
const rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func init() {
	os.Setenv("PATH", os.Getenv("PATH")+":"+rootPath)
}

// process is a running one of a bed.
type process struct {
	pid, parent int
	folder      string // of its bed
	part        string
}

// processes are all that carry the mark, of whichever bed. A zombie has no environment, and is none.
func processes() []process {
	var found []process
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		content, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(content, []byte(markFolder+"=")) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		p := process{pid: pid, parent: parent(pid)}
		for _, variable := range strings.Split(string(content), "\x00") {
			if value, is := strings.CutPrefix(variable, markFolder+"="); is {
				p.folder = value
			} else if value, is := strings.CutPrefix(variable, markPart+"="); is {
				p.part = value
			}
		}
		if p.folder != "" && p.part != "" && pid != os.Getpid() {
			found = append(found, p)
		}
	}
	return found
}

// parent is a process's parent, 0 where there is no such process.
func parent(pid int) int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	number, _ := strconv.Atoi(fields[1])
	return number
}

// find is a part of this bed that was started by start; its pid is 0 where it does not run.
func (b Bed) find(part string) process {
	for _, p := range processes() {
		if p.folder == b.folder && p.part == part {
			return p
		}
	}
	return process{}
}

// environment is what a part of the bed sees. Little of the caller's: neither settings of etcd, nor a
// proxy to the outside.
func (b Bed) environment(part string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", markFolder + "=" + b.folder, markPart + "=" + part}
}

// start runs a part of the bed in the background; what it says goes to its log.
func (b Bed) start(part part) error {
	program := part.program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	log, err := openLog(b.log(part.name))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, part.words...)
	command.Env = b.environment(part.name)
	command.Dir = b.folder
	command.Stdout, command.Stderr = log, log
	// A session of its own: Ctrl-C in the caller's terminal is not meant for it.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", part.name, err)
	}
	// While the caller lives, it is the parent, and a child that ended must not stay a zombie.
	go command.Wait()
	return nil
}

// kill ends a process, and waits until it is gone.
func (b Bed) kill(ctx context.Context, p process) error {
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		return err
	}
	return wait(ctx, p.part+" has ended", 10*time.Second, b.log(p.part), func(context.Context) error {
		if b.find(p.part).pid == p.pid {
			return errors.New("it is still there")
		}
		return nil
	})
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// tool runs a program of the machine, e.g. `ip`, to its end, and returns what it prints.
func (b Bed) tool(ctx context.Context, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	var output, complaint bytes.Buffer
	command.Env = b.environment("tool")
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("`%s`: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(complaint.String()))
	}
	return output.String(), nil
}
