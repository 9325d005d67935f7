package chart_test

import (
	"context"
	"strings"
	"testing"
	"time"

	helmcommon "helm.sh/helm/v4/pkg/release/common"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render/chart"
)

// likePodinfo is a chart of the size of podinfo's: twelve templates, half of which are switched off.
func likePodinfo() string {
	var text strings.Builder
	text.WriteString("-- Chart.yaml --\napiVersion: v2\nname: podinfo\nversion: 6.9.0\nappVersion: 6.9.0\n-- values.yaml --\nreplicaCount: 1\nimage: {repository: ghcr.io/stefanprodan/podinfo, tag: 6.9.0, pullPolicy: IfNotPresent}\nservice: {enabled: true, type: ClusterIP, httpPort: 9898, grpcPort: 9999}\nui: {color: '#34577c', message: ''}\nhpa: {enabled: false}\ningress: {enabled: false}\ncertificate: {create: false}\nserviceMonitor: {enabled: false}\nredis: {enabled: false}\nlinkerd: {profile: {enabled: false}}\nresources: {requests: {cpu: 1m, memory: 16Mi}}\nprobes: {readiness: {initialDelaySeconds: 1, timeoutSeconds: 5}, liveness: {initialDelaySeconds: 1, timeoutSeconds: 5}}\nserviceAccount: {enabled: true}\n")
	text.WriteString(`-- templates/_helpers.tpl --
{{- define "podinfo.name" -}}{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}{{- end }}
{{- define "podinfo.fullname" -}}{{- $name := include "podinfo.name" . }}{{- if contains $name .Release.Name }}{{- .Release.Name | trunc 63 | trimSuffix "-" }}{{- else }}{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{- end }}{{- end }}
{{- define "podinfo.selector" -}}
app.kubernetes.io/name: {{ include "podinfo.fullname" . }}
{{- end }}
{{- define "podinfo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "podinfo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
-- templates/deployment.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels: {{- include "podinfo.labels" . | nindent 4 }}
spec:
  {{- if not .Values.hpa.enabled }}
  replicas: {{ .Values.replicaCount }}
  {{- end }}
  selector:
    matchLabels: {{- include "podinfo.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "podinfo.selector" . | nindent 8 }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{{ .Values.service.httpPort }}"
    spec:
      containers:
        - name: {{ .Chart.Name }}
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command: [./podinfo, --port={{ .Values.service.httpPort }}, --grpc-port={{ .Values.service.grpcPort }}, --level=info]
          env:
          {{- if .Values.ui.message }}
          - {name: PODINFO_UI_MESSAGE, value: {{ quote .Values.ui.message }}}
          {{- end }}
          - {name: PODINFO_UI_COLOR, value: {{ quote .Values.ui.color }}}
          ports:
            - {name: http, containerPort: {{ .Values.service.httpPort }}, protocol: TCP}
            - {name: grpc, containerPort: {{ .Values.service.grpcPort }}, protocol: TCP}
          readinessProbe:
            exec: {command: [podcli, check, http, "localhost:{{ .Values.service.httpPort }}/readyz"]}
            {{- with .Values.probes.readiness }}
            initialDelaySeconds: {{ .initialDelaySeconds }}
            timeoutSeconds: {{ .timeoutSeconds }}
            {{- end }}
          resources: {{- toYaml .Values.resources | nindent 12 }}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
-- templates/service.yaml --
{{- if .Values.service.enabled -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels: {{- include "podinfo.labels" . | nindent 4 }}
spec:
  type: {{ .Values.service.type }}
  ports:
    - {port: {{ .Values.service.httpPort }}, targetPort: http, protocol: TCP, name: http}
    - {port: {{ .Values.service.grpcPort }}, targetPort: grpc, protocol: TCP, name: grpc}
  selector: {{- include "podinfo.selector" . | nindent 4 }}
{{- end }}
-- templates/serviceaccount.yaml --
{{- if .Values.serviceAccount.enabled -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ template "podinfo.fullname" . }}
  labels: {{- include "podinfo.labels" . | nindent 4 }}
{{- end }}
-- templates/NOTES.txt --
{{- if .Values.ingress.enabled }}It is at an address.{{- else }}Forward a port to {{ template "podinfo.fullname" . }}.{{- end }}
`)
	for _, name := range []string{"hpa", "ingress", "certificate", "serviceMonitor", "redis"} {
		text.WriteString("-- templates/" + strings.ToLower(name) + ".yaml --\n{{- if or .Values." + name + ".enabled .Values." + name + ".create }}\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ template \"podinfo.fullname\" . }}-" + strings.ToLower(name) + "\n{{- range $k, $v := .Values." + name + " }}\n  # {{ $k }}\n{{- end }}\n{{- end }}\n")
	}
	for _, name := range []string{"grpc", "jwt", "service"} {
		text.WriteString("-- templates/tests/" + name + ".yaml --\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ template \"podinfo.fullname\" . }}-" + name + "-test\n  labels: {{- include \"podinfo.labels\" . | nindent 4 }}\n  annotations:\n    helm.sh/hook: test\n    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded\nspec:\n  containers: [{name: tools, image: giantswarm/tiny-tools, command: [sh, -c, \"curl -s {{ template \"podinfo.fullname\" . }}\"]}]\n  restartPolicy: Never\n")
	}
	return text.String()
}

func benchInput(b *testing.B, r *chart.Renderer) chart.Input {
	b.Helper()
	loaded, err := r.Open(treeOf(likePodinfo()), "")
	if err != nil {
		b.Fatal(err)
	}
	return chart.Input{Owner: owner, Chart: loaded, Name: "web", Namespace: "prod", Revision: 1}
}

// BenchmarkRender renders a chart of podinfo's size, with other values each time.
func BenchmarkRender(b *testing.B) {
	r := chart.New(chart.Options{})
	in := benchInput(b, r)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		in.Values = map[string]any{"replicaCount": n}
		if _, err := r.Render(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRenderParallel does that for many releases at once.
func BenchmarkRenderParallel(b *testing.B) {
	r := chart.New(chart.Options{})
	in := benchInput(b, r)
	b.RunParallel(func(pb *testing.PB) {
		in, n := in, 0
		for pb.Next() {
			n++
			in.Values = map[string]any{"replicaCount": n}
			if _, err := r.Render(context.Background(), in); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkRenderKnown asks for what was rendered before.
func BenchmarkRenderKnown(b *testing.B) {
	r := chart.New(chart.Options{})
	in := benchInput(b, r)
	in.Owner = object.Owner{Namespace: "apps", Name: "known"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Render(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestore makes objects of a record.
func BenchmarkRestore(b *testing.B) {
	r := chart.New(chart.Options{})
	out, err := r.Render(context.Background(), benchInput(b, r))
	if err != nil {
		b.Fatal(err)
	}
	record := out.Record(chart.Pending{Status: helmcommon.StatusDeployed, Now: time.Unix(1, 0)})
	for b.Loop() {
		if _, err := r.Restore(context.Background(), chart.Input{Owner: owner}, record); err != nil {
			b.Fatal(err)
		}
	}
}
