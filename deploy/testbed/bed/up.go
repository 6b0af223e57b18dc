package bed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// limit is how long `up` may take in all, on a machine that does much else. Alone it takes ten seconds.
const limit = 5 * time.Minute

// Up starts the bed and says how long that took. What an earlier one left half done is taken down first;
// where a whole one is up, nothing is done. If it fails, everything but the logs is taken down again.
func (b Bed) Up(ctx context.Context, options Options) error {
	if err := b.checkFolder(); err != nil {
		return err
	}
	lock, err := b.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	begin := time.Now()
	if whole, err := b.isUp(ctx, options); err != nil || whole {
		return err
	}
	if err := b.takeDown(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("an earlier bed could not be taken down: %w", err)
	}
	err = b.makeAll(ctx, options)
	if err == nil {
		fmt.Printf("the bed is up after %.1f s; for kubectl: export KUBECONFIG=%s\n", time.Since(begin).Seconds(), b.path("kubeconfig"))
		return nil
	}
	// Whoever has to find out why needs the logs, and nobody needs half a cluster.
	undone := b.takeDownButLogs(context.WithoutCancel(ctx))
	if ctx.Err() != nil {
		// The user gave it up, and knows why.
		return errors.Join(ctx.Err(), undone, os.RemoveAll(b.folder))
	}
	return errors.Join(err, undone)
}

// isUp tells whether a whole bed is there already.
func (b Bed) isUp(ctx context.Context, options Options) (bool, error) {
	for _, p := range processes() {
		if p.folder != b.folder {
			return false, fmt.Errorf("another bed is up, that of %s, and a machine has one at a time", p.folder)
		}
	}
	var before Options
	if err := readJSON(b.path("up.json"), &before); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, part := range b.components() {
		if part.state != running {
			fmt.Printf("%s %s: the bed is started anew\n", part.name, part.state)
			return false, nil
		}
	}
	if before != options {
		return false, errors.New("the bed is up with other options: `cargo xtask cluster down` first")
	}
	fmt.Println("the bed is up already")
	return true, nil
}

func (b Bed) makeAll(ctx context.Context, options Options) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	said := func(what string) { fmt.Printf("%5.1f s  %s\n", time.Since(begin).Seconds(), what) }

	if err := b.remember(); err != nil {
		return err
	}
	if err := b.keepPrograms(); err != nil {
		return err
	}
	steps := []func() error{b.makeCertificates, b.writeKubeconfigs, b.packImages}
	for _, w := range Workers {
		steps = append(steps, func() error { return b.writeSettings(w, options) }, func() error { return b.makeCgroups(w) })
	}
	steps = append(steps,
		func() error { return b.makeNetwork(ctx) },
		func() error { return b.portFree(ctx) },
		func() error { return b.startControlPlane(ctx, options) },
	)
	if err := inTurn(steps); err != nil {
		return err
	}
	said("the API server is ready")
	for _, w := range Workers {
		if err := b.startWorker(w); err != nil {
			return err
		}
	}
	if err := b.waitNodes(ctx); err != nil {
		return err
	}
	said("both nodes are ready")
	if err := b.checkLink(); err != nil {
		return err
	}
	if err := b.waitAccount(ctx); err != nil {
		return err
	}
	said("pods can be created")
	if err := b.addDNS(ctx, options); err != nil {
		return err
	}
	if err := b.addMetrics(ctx, options); err != nil {
		return err
	}
	// With this file the bed is whole.
	if err := writeJSON(b.path("up.json"), options); err != nil {
		return err
	}
	for _, part := range b.components() {
		// The scheduler, for one, was waited for by nobody.
		if part.state != running {
			return fmt.Errorf("%s %s: its log is %s", part.name, part.state, b.log(part.name))
		}
	}
	return nil
}

func inTurn(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// keepPrograms keeps the programs with the bed: what is built later, of other sources, is not mixed with
// what runs.
func (b Bed) keepPrograms() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range []string{"testbed", "pause"} {
		from, to := filepath.Join(filepath.Dir(self), name), b.path(name)
		if os.Link(from, to) == nil {
			continue
		}
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// waitAccount waits for what every pod in the default namespace is given: an account, and the cluster's
// authority. A pod that comes earlier is refused, or waits long.
func (b Bed) waitAccount(ctx context.Context) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	return wait(ctx, "there is the default service account", time.Minute, b.log("controller-manager"), func(ctx context.Context) error {
		if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", meta.GetOptions{}); err != nil {
			return err
		}
		_, err := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", meta.GetOptions{})
		return err
	})
}

// checkFolder refuses places that the workers mount their own folders over.
func (b Bed) checkFolder() error {
	// The nearest folder above it that is there.
	near := b.folder
	real, err := filepath.EvalSymlinks(near)
	for ; errors.Is(err, fs.ErrNotExist); real, err = filepath.EvalSymlinks(near) {
		near = filepath.Dir(near)
	}
	if err != nil {
		return err
	}
	for _, hidden := range []string{"/run", "/var/lib", "/var/log"} {
		if real == hidden || strings.HasPrefix(real, hidden+"/") {
			return fmt.Errorf("the bed's folder %s lies under %s, where its workers have folders of their own: set XDG_CACHE_HOME elsewhere", b.folder, hidden)
		}
	}
	return nil
}
