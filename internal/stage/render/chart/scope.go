package chart

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// clusterKinds are the kinds of Kubernetes that have no namespace. All kinds of the other groups in there do.
var clusterKinds = map[string]string{
	"":                             "Namespace Node PersistentVolume ComponentStatus",
	"apps":                         "",
	"batch":                        "",
	"autoscaling":                  "",
	"policy":                       "PodSecurityPolicy",
	"apiextensions.k8s.io":         "CustomResourceDefinition",
	"apiregistration.k8s.io":       "APIService",
	"admissionregistration.k8s.io": "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding",
	"certificates.k8s.io":          "CertificateSigningRequest ClusterTrustBundle",
	"coordination.k8s.io":          "",
	"discovery.k8s.io":             "",
	"events.k8s.io":                "",
	"flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
	"networking.k8s.io":            "IngressClass IPAddress ServiceCIDR",
	"node.k8s.io":                  "RuntimeClass",
	"rbac.authorization.k8s.io":    "ClusterRole ClusterRoleBinding",
	"resource.k8s.io":              "DeviceClass ResourceSlice DeviceTaintRule",
	"scheduling.k8s.io":            "PriorityClass",
	"storage.k8s.io":               "StorageClass VolumeAttachment CSIDriver CSINode VolumeAttributesClass",
}

// scope knows which kinds are namespaced.
type scope struct {
	cluster func(schema.GroupVersionKind) (namespaced, known bool)
	defined map[schema.GroupKind]bool // by the chart's own definitions
}

func newScope(cluster func(schema.GroupVersionKind) (bool, bool)) *scope {
	if cluster == nil {
		cluster = func(schema.GroupVersionKind) (bool, bool) { return false, false }
	}
	return &scope{cluster: cluster, defined: map[schema.GroupKind]bool{}}
}

// learn looks whether an object defines a kind.
func (s *scope) learn(u *unstructured.Unstructured) {
	if u.GetKind() != "CustomResourceDefinition" {
		return
	}
	group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
	scope, _, _ := unstructured.NestedString(u.Object, "spec", "scope")
	s.defined[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
}

func (s *scope) of(gvk schema.GroupVersionKind) (namespaced, known bool) {
	if kinds, built := clusterKinds[gvk.Group]; built {
		for kind := range strings.FieldsSeq(kinds) {
			if kind == gvk.Kind {
				return false, true
			}
		}
		return true, true
	}
	if namespaced, known := s.defined[gvk.GroupKind()]; known {
		return namespaced, true
	}
	return s.cluster(gvk)
}
