package measure

import (
	"net/url"
	"strconv"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is how the resources of a kind are shown. The labels are those of the configuration of
// kube-state-metrics that Flux publishes (flux2-monitoring-example), except that no credential is shown.
type kind struct {
	version schema.GroupVersion
	list    func() client.ObjectList
	labels  []string // beyond those that all kinds have
	facts   func(client.Object) facts
}

// facts are what is shown of one resource; its values are those of the kind's labels.
type facts struct {
	conditions []metav1.Condition
	suspended  bool
	values     []string
}

// kinds returns how each kind is shown that somebody may serve.
func kinds() map[string]kind {
	return map[string]kind{
		sourcev1.GitRepositoryKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.GitRepositoryList{} },
			[]string{"revision", "url"}, gitRepository},
		sourcev1.OCIRepositoryKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.OCIRepositoryList{} },
			[]string{"revision", "url"}, ociRepository},
		sourcev1.BucketKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.BucketList{} },
			[]string{"revision", "endpoint", "bucket_name"}, bucket},
		sourcev1.HelmRepositoryKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.HelmRepositoryList{} },
			[]string{"revision", "url"}, helmRepository},
		sourcev1.HelmChartKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.HelmChartList{} },
			[]string{"revision", "chart_name", "chart_version"}, helmChart},
		sourcev1.ExternalArtifactKind: {sourcev1.GroupVersion, func() client.ObjectList { return &sourcev1.ExternalArtifactList{} },
			[]string{"revision"}, externalArtifact},
		kustomizev1.KustomizationKind: {kustomizev1.GroupVersion, func() client.ObjectList { return &kustomizev1.KustomizationList{} },
			[]string{"revision", "source_name"}, kustomization},
		helmv2.HelmReleaseKind: {helmv2.GroupVersion, func() client.ObjectList { return &helmv2.HelmReleaseList{} },
			[]string{"revision", "chart_name", "chart_app_version", "chart_ref_name", "chart_source_name"}, helmRelease},
		notificationv1.ReceiverKind: {notificationv1.GroupVersion, func() client.ObjectList { return &notificationv1.ReceiverList{} },
			nil, receiver},
		notificationv1beta3.AlertKind: {notificationv1beta3.GroupVersion, func() client.ObjectList { return &notificationv1beta3.AlertList{} },
			nil, alert},
		notificationv1beta3.ProviderKind: {notificationv1beta3.GroupVersion, func() client.ObjectList { return &notificationv1beta3.ProviderList{} },
			nil, provider},
	}
}

// The functions below are each for the kind that its entry above lists.

//nolint:forcetypeassert // see above
func gitRepository(o client.Object) facts {
	r := o.(*sourcev1.GitRepository)
	return facts{r.Status.Conditions, r.Spec.Suspend, []string{revisionOf(r.Status.Artifact), bare(r.Spec.URL)}}
}

//nolint:forcetypeassert // see above
func ociRepository(o client.Object) facts {
	r := o.(*sourcev1.OCIRepository)
	return facts{r.Status.Conditions, r.Spec.Suspend, []string{revisionOf(r.Status.Artifact), bare(r.Spec.URL)}}
}

//nolint:forcetypeassert // see above
func bucket(o client.Object) facts {
	b := o.(*sourcev1.Bucket)
	return facts{b.Status.Conditions, b.Spec.Suspend, []string{revisionOf(b.Status.Artifact), bare(b.Spec.Endpoint), b.Spec.BucketName}}
}

//nolint:forcetypeassert // see above
func helmRepository(o client.Object) facts {
	r := o.(*sourcev1.HelmRepository)
	return facts{r.Status.Conditions, r.Spec.Suspend, []string{revisionOf(r.Status.Artifact), bare(r.Spec.URL)}}
}

//nolint:forcetypeassert // see above
func helmChart(o client.Object) facts {
	c := o.(*sourcev1.HelmChart)
	return facts{c.Status.Conditions, c.Spec.Suspend, []string{revisionOf(c.Status.Artifact), c.Spec.Chart, c.Spec.Version}}
}

//nolint:forcetypeassert // see above
func externalArtifact(o client.Object) facts {
	a := o.(*sourcev1.ExternalArtifact)
	return facts{a.Status.Conditions, false, []string{revisionOf(a.Status.Artifact)}}
}

//nolint:forcetypeassert // see above
func kustomization(o client.Object) facts {
	u := o.(*kustomizev1.Kustomization)
	return facts{u.Status.Conditions, u.Spec.Suspend, []string{u.Status.LastAppliedRevision, u.Spec.SourceRef.Name}}
}

//nolint:forcetypeassert // see above
func helmRelease(o client.Object) facts {
	r := o.(*helmv2.HelmRelease)
	values := make([]string, 5)
	if latest := r.Status.History.Latest(); latest != nil {
		values[0], values[1], values[2] = latest.ChartVersion, latest.ChartName, latest.AppVersion
	}
	if r.Spec.ChartRef != nil {
		values[3] = r.Spec.ChartRef.Name
	}
	if r.Spec.Chart != nil {
		values[4] = r.Spec.Chart.Spec.SourceRef.Name
	}
	return facts{r.Status.Conditions, r.Spec.Suspend, values}
}

// receiver does not show the webhook's path: for several types it is all that protects the webhook.
//
//nolint:forcetypeassert // see above
func receiver(o client.Object) facts {
	r := o.(*notificationv1.Receiver)
	return facts{conditions: r.Status.Conditions, suspended: r.Spec.Suspend}
}

//nolint:forcetypeassert // see above
func alert(o client.Object) facts {
	return facts{suspended: o.(*notificationv1beta3.Alert).Spec.Suspend}
}

//nolint:forcetypeassert // see above
func provider(o client.Object) facts {
	return facts{suspended: o.(*notificationv1beta3.Provider).Spec.Suspend}
}

func revisionOf(artifact *meta.Artifact) string {
	if artifact == nil {
		return ""
	}
	return artifact.Revision
}

// bare cuts what may be a credential off an address: who asks, and everything behind a question mark.
func bare(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	switch {
	case parsed.User == nil:
	case parsed.Scheme == "ssh":
		parsed.User = url.User(parsed.User.Username())
	default:
		parsed.User = nil // a token may stand where the name does
	}
	parsed.RawQuery, parsed.Fragment = "", ""
	return parsed.String()
}

func flag(on bool) string { return strconv.FormatBool(on) }
