package bed

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestAPackedImageHoldsItsProgram(t *testing.T) {
	archive, err := pack(PauseImage, "pause", []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := imageNames(bytes.NewReader(archive))
	if err != nil || !slices.Equal(names, []string{PauseImage}) {
		t.Fatal(names, err)
	}
	files := untape(t, archive)
	var manifests []manifest
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		t.Fatal(err)
	}
	layer := files[manifests[0].Layers[0]]
	if string(untape(t, layer)["pause"]) != "program" {
		t.Error("the layer lacks the program")
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(files[manifests[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); !slices.Equal(config.RootFS.DiffIDs, []string{sum}) {
		t.Error(config.RootFS.DiffIDs, sum)
	}
}

func TestNamesOfArchives(t *testing.T) {
	oci := func(annotations string) []byte {
		index := `{"manifests": [{"annotations": {` + annotations + `}}]}`
		archive, err := tape(file{"oci-layout", 0o644, []byte("{}")}, file{"index.json", 0o644, []byte(index)})
		if err != nil {
			t.Fatal(err)
		}
		return archive
	}
	for _, annotation := range []string{containerdName, referenceName} {
		names, err := imageNames(bytes.NewReader(oci(`"` + annotation + `": "registry.local/a:1"`)))
		if err != nil || !slices.Equal(names, []string{"registry.local/a:1"}) {
			t.Error(annotation, names, err)
		}
	}
	empty, _ := tape()
	for want, archive := range map[string][]byte{
		"no name with a registry": oci(`"` + referenceName + `": "1"`),
		"neither an OCI nor":      empty,
		"not an archive":          bytes.Repeat([]byte("x"), 2048),
	} {
		if names, err := imageNames(bytes.NewReader(archive)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, names, err)
		}
	}
}

func untape(t *testing.T, archive []byte) map[string][]byte {
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}
