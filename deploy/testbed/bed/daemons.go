package bed

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// daemons are a worker's programs, and whatever else its first process inherits. A program that ends is
// started again, as an init system does: kube-proxy gives up, for one, where its node takes long to be
// known.
type daemons struct {
	bed     Bed
	worker  Worker
	running map[int]string // name by process number
}

// command is how a program is called.
func (d *daemons) command(name string) ([]string, error) {
	own := func(file string) string { return d.bed.path(d.worker.Name, file) }
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	switch name {
	case "containerd":
		return []string{"containerd", "--config", own("containerd.toml")}, nil
	case "kubelet":
		return []string{self, "kubelet",
			"--config=" + own("kubelet.yaml"),
			"--kubeconfig=" + d.bed.path("kubeconfigs", d.worker.Name),
			"--hostname-override=" + d.worker.Name,
			"--node-ip=" + d.worker.Address,
			"--node-labels=splitscale.io/stage=" + d.worker.Stage,
		}, nil
	default:
		return []string{self, "kube-proxy", "--config=" + own("kube-proxy.yaml")}, nil
	}
}

// start starts one, by its name; what it says goes to its log.
func (d *daemons) start(name string) error {
	words, err := d.command(name)
	if err != nil {
		return err
	}
	part := d.worker.Name + "/" + name
	log, err := openLog(d.bed.log(part))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(words[0], words[1:]...)
	command.Env = d.bed.environment(part)
	command.Stdout, command.Stderr = log, log
	// lookAfter waits for it, together with all others.
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", name, err)
	}
	d.running[command.Process.Pid] = name
	return nil
}

// lookAfter collects what ends, for ever.
func (d *daemons) lookAfter() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err != nil || pid <= 0 {
				break
			}
			name, ours := d.running[pid]
			if !ours {
				continue // an orphan of a container or a shim
			}
			delete(d.running, pid)
			fmt.Printf("%s ended (exit code %d, signal %d) and is started again\n", name, status.ExitStatus(), status.Signal())
			time.Sleep(time.Second)
			if err := d.start(name); err != nil {
				return err
			}
		}
		<-ended
	}
}
