package bed

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// packImages makes an archive of each image of ours, as `docker save` would, of the programs that lie beside this one.
func (b Bed) packImages() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for entry, name := range map[string]string{"pause": PauseImage, "plain": plainImage} {
		program, err := os.ReadFile(filepath.Join(filepath.Dir(self), entry))
		if err != nil {
			return err
		}
		archive, err := pack(name, entry, program)
		if err != nil {
			return err
		}
		if err := write(b.path(entry+".tar"), archive); err != nil {
			return err
		}
	}
	return nil
}

// pack makes an image of one static program.
func pack(name, entry string, program []byte) ([]byte, error) {
	layer, err := tape(file{entry, 0o755, program})
	if err != nil {
		return nil, err
	}
	sum := func(content []byte) string {
		digest := sha256.Sum256(content)
		return hex.EncodeToString(digest[:])
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		// Any user but root: a pod that must not run as root may use it as a container too.
		"config": map[string]any{"Entrypoint": []string{"/" + entry}, "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
	})
	if err != nil {
		return nil, err
	}
	configName, layerName := sum(config)+".json", sum(layer)+"/layer.tar"
	manifest, err := json.Marshal([]manifest{{configName, []string{name}, []string{layerName}}})
	if err != nil {
		return nil, err
	}
	return tape(file{configName, 0o644, config}, file{layerName, 0o644, layer}, file{"manifest.json", 0o644, manifest})
}

type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func tape(files ...file) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, f := range files {
		header := tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if err := writer.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

// Load gives both workers the images of an archive, OCI's or Docker's, and returns their names.
func (b Bed) Load(ctx context.Context, path string) ([]string, error) {
	archive, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	names, err := imageNames(archive)
	archive.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	results := make(chan error)
	for _, w := range Workers {
		go func() { results <- b.importImage(ctx, w, absolute) }()
	}
	for range Workers {
		err = errors.Join(err, <-results)
	}
	return names, err
}

func (b Bed) importImage(ctx context.Context, w Worker, path string) error {
	first := b.find(w.Name)
	if first.pid == 0 {
		return fmt.Errorf("%s is off, and was not given the image", w.Name)
	}
	// The socket, as the worker's first process sees it.
	socket := fmt.Sprintf("/proc/%d/root%s", first.pid, containerdSocket)
	_, err := b.tool(ctx, "ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", path)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name, err)
	}
	return nil
}

// The annotations of an OCI index by which tools name an image; containerd's own wins.
const (
	containerdName = "io.containerd.image.name"
	referenceName  = "org.opencontainers.image.ref.name"
)

// imageNames reads what the images in an archive are called.
func imageNames(archive io.Reader) ([]string, error) {
	const remedy = "make one by `buildah push IMAGE oci-archive:FILE:registry.local/NAME:TAG`"
	var names []string
	known := false
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("not an archive of an image (%w): %s", err, remedy)
		}
		switch header.Name {
		case "manifest.json":
			var manifests []manifest
			if err := json.NewDecoder(reader).Decode(&manifests); err != nil {
				return nil, fmt.Errorf("manifest.json: %w", err)
			}
			known = true
			for _, m := range manifests {
				names = append(names, m.RepoTags...)
			}
		case "index.json":
			var index struct {
				Manifests []struct{ Annotations map[string]string }
			}
			if err := json.NewDecoder(reader).Decode(&index); err != nil {
				return nil, fmt.Errorf("index.json: %w", err)
			}
			known = true
			for _, m := range index.Manifests {
				if name := m.Annotations[containerdName]; name != "" {
					names = append(names, name)
				} else if name := m.Annotations[referenceName]; strings.Contains(name, "/") {
					names = append(names, name)
				}
			}
		}
	}
	if !known {
		return nil, fmt.Errorf("neither an OCI nor a Docker archive: it has no index.json and no manifest.json; %s", remedy)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("its image has no name with a registry in it: %s", remedy)
	}
	return names, nil
}
