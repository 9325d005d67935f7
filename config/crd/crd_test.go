package crd_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"holdfast.dev/holdfast/config/crd"
)

func TestAllKindsAsFluxNamesThem(t *testing.T) {
	want := map[string][]string{ // kind: short names, then categories
		"Alert":            {"all", "fluxcd", "fluxcd-notifications"},
		"Bucket":           {"all", "fluxcd", "fluxcd-sources"},
		"ExternalArtifact": {"ea", "all", "fluxcd", "fluxcd-sources"},
		"GitRepository":    {"gitrepo", "all", "fluxcd", "fluxcd-sources"},
		"HelmChart":        {"hc", "all", "fluxcd", "fluxcd-sources"},
		"HelmRelease":      {"hr", "all", "fluxcd", "fluxcd-appliers"},
		"HelmRepository":   {"helmrepo", "all", "fluxcd", "fluxcd-sources"},
		"Kustomization":    {"ks", "all", "fluxcd", "fluxcd-appliers"},
		"OCIRepository":    {"ocirepo", "all", "fluxcd", "fluxcd-sources"},
		"Provider":         {"all", "fluxcd", "fluxcd-notifications"},
		"Receiver":         {"all", "fluxcd", "fluxcd-notifications"},
	}
	got := map[string][]string{}
	for _, definition := range all(t) {
		names := definition.Spec.Names
		got[names.Kind] = append(append([]string(nil), names.ShortNames...), names.Categories...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds differ (-want +got):\n%s", diff)
	}
}

func TestMetadata(t *testing.T) {
	for _, definition := range all(t) {
		if got := definition.Annotations["kustomize.toolkit.fluxcd.io/substitute"]; got != "disabled" {
			t.Errorf("%s: a schema may contain ${…} and must not be substituted, annotation is %q", definition.Name, got)
		}
		if got := definition.Labels["app.kubernetes.io/part-of"]; got != "flux" {
			t.Errorf("%s: tools find the definitions by the part-of label, got %q", definition.Name, got)
		}
	}
}

func TestUntouchedObjectShowsMinusOne(t *testing.T) {
	withoutDefault := map[string]bool{"Alert": true, "Provider": true, "ExternalArtifact": true}
	for _, definition := range all(t) {
		if withoutDefault[definition.Spec.Names.Kind] {
			continue
		}
		for _, version := range definition.Spec.Versions {
			if got := statusDefault(t, version); got != -1 {
				t.Errorf("%s %s: default of status.observedGeneration is %d, want -1", definition.Name, version.Name, got)
			}
		}
	}
}

// TestNotificationVersions: a repository may carry Alerts and Providers of either version, and no
// field of the older one is lost in the store.
func TestNotificationVersions(t *testing.T) {
	for _, definition := range all(t) {
		if kind := definition.Spec.Names.Kind; kind != "Alert" && kind != "Provider" {
			continue
		}
		served := map[string]bool{}
		fields := map[string]map[string]apiextensionsv1.JSONSchemaProps{}
		for _, version := range definition.Spec.Versions {
			served[version.Name] = version.Served && version.Storage == (version.Name == "v1beta3")
			fields[version.Name] = version.Schema.OpenAPIV3Schema.Properties["spec"].Properties
		}
		if diff := cmp.Diff(map[string]bool{"v1": true, "v1beta3": true}, served); diff != "" {
			t.Errorf("%s: versions differ (-want +got):\n%s", definition.Name, diff)
		}
		for _, gone := range []string{"interval", "proxy", "summary"} {
			if _, found := fields["v1"][gone]; found {
				t.Errorf("%s: v1 still has %s", definition.Name, gone)
			}
			delete(fields["v1beta3"], gone)
		}
		if want, got := len(fields["v1beta3"]), len(fields["v1"]); want != got || got == 0 {
			t.Errorf("%s: v1 has %d fields, v1beta3 has %d", definition.Name, got, want)
		}
	}
}

func statusDefault(t *testing.T, version apiextensionsv1.CustomResourceDefinitionVersion) int64 {
	t.Helper()
	status := struct {
		ObservedGeneration int64 `json:"observedGeneration"`
	}{}
	value := version.Schema.OpenAPIV3Schema.Properties["status"].Default
	if value == nil {
		return 0
	}
	if err := json.Unmarshal(value.Raw, &status); err != nil {
		t.Fatal(err)
	}
	return status.ObservedGeneration
}

func all(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	definitions, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	return definitions
}
