package bed

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

func TestExternalMetricsAreWhatTheFileSaysNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics")
	ask := func(content, metric string) (int, string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		externalMetrics(path).ServeHTTP(answer, httptest.NewRequest("GET", externalPath+"/namespaces/any/"+metric, nil))
		return answer.Code, answer.Body.String()
	}
	for content, milli := range map[string]int64{
		"queue 12":                    12_000,
		"other 1\n\n# now\nqueue 1.5": 1_500,
		"queue 250m # a quarter":      250,
	} {
		code, body := ask(content, "queue")
		var list v1beta1.ExternalMetricValueList
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list.Items) != 1 {
			t.Fatal(code, body, err)
		}
		if item := list.Items[0]; item.Value.MilliValue() != milli || item.MetricName != "queue" {
			t.Errorf("%q: %v", content, item)
		}
	}
	if code, body := ask("queue 1", "length"); code != 404 || !strings.Contains(body, "no metric length") {
		t.Error(code, body)
	}
	if code, body := ask("queue 1\nqueue one", "queue"); code != 500 || !strings.Contains(body, "line 2") {
		t.Error(code, body)
	}
}
