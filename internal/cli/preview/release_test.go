package preview

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

const releasesTree = `
-- clusters/local/all.yaml --
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: apps}
stringData: {values.yaml: "password: hunter22"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: apps}
spec:
  interval: 1h
  chart: {spec: {chart: ./charts/web, sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}}}
  valuesFrom: [{kind: Secret, name: web}]
  values: {replicas: 3}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cache, namespace: apps}
spec:
  interval: 1h
  chart: {spec: {chart: redis, version: 1.x, sourceRef: {kind: HelmRepository, name: charts}}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: lost, namespace: apps}
spec:
  interval: 1h
  chart: {spec: {chart: ./charts/web, sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}}}
  valuesFrom: [{kind: ConfigMap, name: nowhere}]
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: bad, namespace: apps}
spec:
  interval: 1h
  chart: {spec: {chart: ./charts/other, sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}}}
-- charts/web/Chart.yaml --
apiVersion: v2
name: web
version: 0.1.0
-- charts/web/values.yaml --
replicas: 1
-- charts/web/templates/all.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {replicas: {{ .Values.replicas | quote }}, login: {{ .Values.password | quote }}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: before, annotations: {helm.sh/hook: pre-install}}
`

func folderWith(t *testing.T, text string) *Folder {
	t.Helper()
	dir := t.TempDir()
	if err := txtar.Write(txtar.Parse([]byte(text)), dir); err != nil {
		t.Fatal(err)
	}
	folder, err := OpenFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

func TestReleases(t *testing.T) {
	redis := folderWith(t, "-- redis/Chart.yaml --\napiVersion: v2\nname: redis\nversion: 1.0.0\n-- redis/templates/a.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: redis}\n")
	options := Options{
		Tree: folderWith(t, releasesTree), Path: filepath.Join("clusters", "local"),
		Renderer: render.New(render.Options{}), Charts: chart.New(chart.Options{}),
	}
	result, err := Build(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, unit := range result.Units {
		for _, one := range unit.Objects {
			if strings.Contains(string(one.JSON), "hunter22") && one.Kind == "ConfigMap" {
				t.Errorf("%s shows a value of a Secret: %s", one.Ref, one.JSON)
			}
			if unit.Kind == ReleaseKind {
				got[unit.Owner.String()] = append(got[unit.Owner.String()], one.Ref.String()+" "+one.Source)
			}
		}
	}
	want := map[string][]string{"apps/web": {"ConfigMap/apps/web web/templates/all.yaml", "Job/apps/before web/templates/all.yaml"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
	wantFindings := map[string]struct {
		class Class
		text  string
	}{
		"apps/cache": {Left, "its chart redis 1.x is in HelmRepository apps/charts, which is not in this tree: its objects are not shown"},
		"apps/lost":  {Unknown, "its values cannot be known: ConfigMap apps/nowhere: it is not in the tree"},
		"apps/bad":   {Broken, "reading its chart in GitRepository flux-system/flux-system: no chart: charts/other is not in the source"},
	}
	for _, finding := range result.Findings {
		wanted, known := wantFindings[finding.Unit.String()]
		if !known || wanted.class != finding.Class || wanted.text != finding.Text {
			t.Errorf("finding %d %s: %s", finding.Class, finding.Unit, finding.Text)
		}
		delete(wantFindings, finding.Unit.String())
	}
	if len(wantFindings) > 0 {
		t.Errorf("not found: %v", wantFindings)
	}
	options.Sources, options.AllowMissing = map[Source]tree.Tree{{Name: "charts"}: redis}, true
	if result, err = Build(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, unit := range result.Units {
		if unit.Kind == ReleaseKind {
			count++
		}
	}
	if count != 3 || len(result.Findings) != 1 {
		t.Errorf("%d releases, findings %v: a folder may stand for a repository, and values may be missing", count, result.Findings)
	}
}
