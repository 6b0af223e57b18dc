package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startWorker starts a worker's first process (see inside.go) in namespaces of its own.
func (b Bed) startWorker(w Worker) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := openLog(b.log(w.Name))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(self, "inside", w.Name)
	command.Env = b.environment(w.Name)
	command.Dir = "/"
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
	}
	if err := in(w, command.Start); err != nil {
		return fmt.Errorf("cannot start %s: %w", w.Name, err)
	}
	go command.Wait()
	return nil
}

// in does something in a worker's network namespace.
func in(w Worker, what func() error) error {
	namespace, err := os.Open(filepath.Join(netnsFolder, w.netns))
	if err != nil {
		return err
	}
	defer namespace.Close()
	done := make(chan error)
	go func() {
		// A thread that has moved is thrown away: it is never unlocked.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- what()
	}()
	return <-done
}

// waitNodes waits until both nodes are Ready, and their kube-proxies.
func (b Bed) waitNodes(ctx context.Context) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	for _, w := range Workers {
		err := wait(ctx, w.Name+" is ready", 2*time.Minute, b.log(w.Name)+" (and kubelet.log in the folder beside it)", func(ctx context.Context) error {
			if b.find(w.Name).pid == 0 {
				return final{fmt.Errorf("its first process has ended: %s", lastLines(b.log(w.Name), 3))}
			}
			node, err := client.CoreV1().Nodes().Get(ctx, w.Name, meta.GetOptions{})
			if err != nil {
				return err
			}
			return notReady(node)
		})
		if err != nil {
			return err
		}
		err = wait(ctx, "kube-proxy of "+w.Name+" is ready", time.Minute, b.log(w.Name+"/kube-proxy"), func(ctx context.Context) error {
			return healthy(ctx, "http://"+w.Address+":10256/healthz")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastLines are the last few of a log, for a message that outlives it.
func lastLines(path string, count int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "; ")
}

// notReady is why a node is not ready; nil where it is.
func notReady(node *core.Node) error {
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			if condition.Status == core.ConditionTrue {
				return nil
			}
			return errors.New(condition.Message)
		}
	}
	return errors.New("it has not said how it is")
}

func healthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// No proxy of the user's environment knows the bed's addresses.
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// checkLink makes sure that the workers reach each other: rules of the machine may filter what a bridge
// passes on.
func (b Bed) checkLink() error {
	for _, w := range Workers {
		err := in(w, func() error {
			connection, err := net.DialTimeout("tcp", w.other().Address+":10250", 3*time.Second)
			if err != nil {
				return err
			}
			return connection.Close()
		})
		if err != nil {
			return fmt.Errorf("%s does not reach %s: %w; a firewall of this machine may drop what the bridge %s passes on "+
				"(the FORWARD chain, where net.bridge.bridge-nf-call-iptables is 1)", w.Name, w.other().Name, err, bridge)
		}
	}
	return nil
}

// StopNode is a power failure: everything in the worker is gone at once, its disk stays.
func (b Bed) StopNode(ctx context.Context, w Worker) error {
	found := b.find(w.Name)
	if found.pid == 0 {
		return fmt.Errorf("%s is off", w.Name)
	}
	return b.kill(ctx, found)
}

// StartNode switches a worker on again.
func (b Bed) StartNode(w Worker) error {
	if b.find(w.Name).pid != 0 {
		return fmt.Errorf("%s is on", w.Name)
	}
	return b.startWorker(w)
}
