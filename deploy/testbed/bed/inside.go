package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

const containerdSocket = "/run/containerd/containerd.sock"

func containerdAnswers(context.Context) error {
	connection, err := net.Dial("unix", containerdSocket)
	if err != nil {
		return err
	}
	return connection.Close()
}

// Inside is a worker's first process: number 1 of its process namespace. It makes the worker's file
// system, starts the three daemons, and looks after all that is orphaned. When it is killed, the kernel
// kills everything that it has in its namespaces: containers, shims and mounts leave no trace.
func (b Bed) Inside(name string) error {
	w, err := FindWorker(name)
	if err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return errors.New("this subcommand is the first process of a worker: `up` starts it")
	}
	if err := b.mountOwn(w); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(w.Name)); err != nil {
		return err
	}
	// This is the network namespace's own setting; the machine's is not touched.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	daemons := &daemons{bed: b, worker: w, running: map[int]string{}}
	if err := daemons.start("containerd"); err != nil {
		return err
	}
	log := b.log(w.Name + "/containerd")
	err = wait(context.Background(), "containerd answers", 2*time.Minute, log, containerdAnswers)
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(log, 3))
	}
	// Before the kubelet starts any pod: it cannot be pulled from anywhere.
	if _, err := b.tool(context.Background(), "ctr", "--namespace", "k8s.io", "images", "import", b.path("pause.tar")); err != nil {
		return err
	}
	for _, name := range []string{"kubelet", "kube-proxy"} {
		if err := daemons.start(name); err != nil {
			return err
		}
	}
	return daemons.lookAfter()
}

// mountOwn gives the worker folders of its own where its programs keep things.
func (b Bed) mountOwn(w Worker) error {
	type mount struct {
		source, target, kind string
		flags                uintptr
	}
	disk := func(name string) string { return b.path(w.Name, "disk", name) }
	logs := b.path("log", w.Name)
	for _, folder := range []string{disk("lib"), logs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	for _, m := range []mount{
		// Nothing that is mounted from here on is seen outside.
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{disk("lib"), "/var/lib", "", syscall.MS_BIND},
		{logs, "/var/log", "", syscall.MS_BIND},
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
		// Containers are to see what the kubelet mounts for them.
		{"", "/", "", syscall.MS_REC | syscall.MS_SHARED},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("cannot mount %s at %s: %w", m.source, m.target, err)
		}
	}
	return nil
}
