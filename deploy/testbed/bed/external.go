package bed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

const externalPath = "/apis/external.metrics.k8s.io/v1beta1"

// ServeExternalMetrics answers the API server's questions for external metrics, until ctx ends, with what a
// file says at that moment: lines of a name and a value. An HPA so sees exactly the number that it is to.
func (b Bed) ServeExternalMetrics(ctx context.Context, path string) error {
	// Only the API server may ask: it has checked who wants to know.
	front, err := os.ReadFile(b.path("certificates", "front.crt"))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(front)
	server := http.Server{
		Addr:              net.JoinHostPort(gateway, externalPort),
		Handler:           externalMetrics(path),
		TLSConfig:         &tls.Config{ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert},
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	serving := b.path("certificates", "external-metrics-serving")
	if err := server.ListenAndServeTLS(serving+".crt", serving+".key"); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// externalMetrics is the API: the list of its resources, and the values of one metric. The namespace makes
// no difference, nor do selectors of labels: there are none.
func externalMetrics(path string) http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+externalPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, meta.APIResourceList{
			TypeMeta:     meta.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
			GroupVersion: v1beta1.SchemeGroupVersion.String(),
			APIResources: []meta.APIResource{{
				Name: "externalmetrics", Namespaced: true, Kind: "ExternalMetricValueList", Verbs: meta.Verbs{"get"},
			}},
		})
	})
	routes.HandleFunc("GET "+externalPath+"/namespaces/{namespace}/{metric}", func(w http.ResponseWriter, r *http.Request) {
		values, err := readMetrics(path)
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		name := r.PathValue("metric")
		value, known := values[name]
		if !known {
			refuse(w, http.StatusNotFound, fmt.Sprintf("%s has no metric %s", path, name))
			return
		}
		// Its log then has what each HPA was told, and when.
		fmt.Println(time.Now().UTC().Format(time.RFC3339Nano), name, value.String())
		answer(w, http.StatusOK, v1beta1.ExternalMetricValueList{
			TypeMeta: meta.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: v1beta1.SchemeGroupVersion.String()},
			Items:    []v1beta1.ExternalMetricValue{{MetricName: name, Timestamp: meta.Now(), Value: value}},
		})
	})
	return routes
}

// readMetrics reads lines of a name and a value, e.g. `queue_length 12` or `load 500m`; # begins a comment.
func readMetrics(path string) (map[string]resource.Quantity, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]resource.Quantity{}
	for i, line := range strings.Split(string(content), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("%s, line %d: not a name and a value", path, i+1)
		}
		value, err := resource.ParseQuantity(words[1])
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %q is no number (write 12, 1.5 or 500m)", path, i+1, words[1])
		}
		values[words[0]] = value
	}
	return values, nil
}

func answer(w http.ResponseWriter, code int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(document)
}

// refuse answers what Kubernetes' clients understand: the message ends up in the HPA's conditions.
func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, meta.Status{
		TypeMeta: meta.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   meta.StatusFailure, Code: int32(code), Message: why,
	})
}
