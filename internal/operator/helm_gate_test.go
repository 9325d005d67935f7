package operator_test

import (
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// TestHelmIsJudged: what a chart makes is judged as a whole before anything of it is written, Helm's own
// records included, and all that is wrong is told at once.
func TestHelmIsJudged(t *testing.T) {
	t.Parallel()
	c := newCharted(t)
	service := func(field string) string {
		return "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  " + field + "\n  ports: [{port: 80}]\n"
	}
	c.chart(map[string]string{
		"templates/a.yaml":   colored("a"),
		"templates/web.yaml": service("type: Nowhere"),
		"templates/app.yaml": strings.Replace(deployment("app", "app", 1), "replicas:", "replica:", 1),
		"templates/before.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: before\n  annotations: {helm.sh/hook: pre-install}\nspec:\n" +
			"  backOffLimit: 1\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: main, image: example.org/app:v1}]\n",
	})
	c.install("app")
	u := c.releaseUntil("app", "refused", func(u *helmv2.HelmRelease) bool {
		return apimeta.IsStatusConditionFalse(u.Status.Conditions, meta.ReadyCondition)
	})
	said := apimeta.FindStatusCondition(u.Status.Conditions, meta.ReadyCondition).Message
	for _, want := range []string{
		"Service/" + c.namespace + "/web spec.type: must be one of ClusterIP, ExternalName, LoadBalancer, NodePort",
		"Deployment/" + c.namespace + "/app spec.replica: the kind has no such field (app/templates/app.yaml) [schema/unknown-field]; did you mean replicas?",
		"Job/" + c.namespace + "/before spec.backOffLimit: the kind has no such field (app/templates/before.yaml) [schema/unknown-field]; did you mean backoffLimit?",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if read(c.world, c.configMap("a")) != nil {
		t.Error("a part of it was written")
	}
	c.wantHistory("app")
	good := c.chart(map[string]string{"templates/web.yaml": service("type: ClusterIP"), "templates/app.yaml": "", "templates/before.yaml": ""})
	c.released("app", good)
	c.wantHistory("app", "1 deployed "+good+" Install complete")
}
