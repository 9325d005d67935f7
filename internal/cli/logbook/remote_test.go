package logbook_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/config/install"
	"holdfast.dev/holdfast/internal/cli/logbook"
	hook "holdfast.dev/holdfast/internal/hook/logbook"
	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

// as is a configuration that acts as somebody.
func as(t *testing.T, user string) *rest.Config {
	t.Helper()
	config := rest.CopyConfig(clustertest.Start(t))
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	return config
}

func connect(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	made, err := client.New(config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// ours is an address of this machine that the API server may connect to: it refuses loopback.
func ours(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range addresses {
		if network, ok := one.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback, which the API server does not pass requests on to")
	return ""
}

// TestRemote: with the rights that are installed, who is bound to the readers' Role reads the log through
// the API server, and nobody else.
func TestRemote(t *testing.T) {
	address := ours(t)
	namespace, admin := clustertest.Namespace(t), connect(t, clustertest.Start(t))
	objects, err := install.Objects(install.Options{Image: "none", Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range objects {
		if kind := one.GetKind(); kind != "Deployment" && kind != "Namespace" && kind != "Service" && one.GetName() != install.Delivery {
			create(t, admin, one)
		}
	}
	create(t, admin, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "holdfast-audit-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"}},
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	controller := connect(t, as(t, "system:serviceaccount:"+namespace+":holdfast-controller"))
	server := hook.New(hook.Deps{Reviews: controller, DB: recorded(t), Log: logr.Discard()})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	port := int32(listener.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert,gosec // it is one, and fits
	about := metav1.ObjectMeta{Namespace: namespace, Name: "holdfast-controller"}
	create(t, admin, &corev1.Service{ObjectMeta: about, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "audit", Port: 9393, TargetPort: intstr.FromInt32(port)}}}})
	// The API server passes requests on to Pods only: this test is one, as far as it can tell.
	pod := &corev1.Pod{ObjectMeta: about, Spec: corev1.PodSpec{NodeName: "nobody", Containers: []corev1.Container{{Name: "main", Image: "none"}}}}
	create(t, admin, pod)
	pod.Status.PodIP, pod.Status.PodIPs = address, []corev1.PodIP{{IP: address}}
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	target := &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: about.Name}
	create(t, admin, &corev1.Endpoints{ObjectMeta: about, Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // what the API server's proxy looks at
		Addresses: []corev1.EndpointAddress{{IP: address, TargetRef: target}}, Ports: []corev1.EndpointPort{{Name: "audit", Port: port}}, //nolint:staticcheck // likewise
	}}})

	log, err := logbook.Reach(t.Context(), as(t, "jane"), namespace)
	if err != nil {
		t.Fatal(err)
	}
	found, err := log.List(t.Context(), audit.Filter{Kinds: []record.Kind{record.Held}})
	if err != nil || len(found) != 1 || found[0].N != 2 || found[0].Entry.Message != "it is held" {
		t.Errorf("listed: %+v %v", found, err)
	}
	report, err := log.Verify(t.Context(), audit.Trust{})
	if err != nil || report.Size != 2 || report.Vouched != 2 {
		t.Errorf("verified: %+v %v", report, err)
	}
	var lines, events bytes.Buffer
	if err := log.Export(t.Context(), logbook.Lines, &lines); err != nil || strings.Count(lines.String(), "\n") != 3 {
		t.Errorf("exported: %s %v", &lines, err)
	}
	if err := log.Export(t.Context(), logbook.Events, &events); err != nil || !strings.Contains(events.String(), "dev.holdfast.audit.Held") {
		t.Errorf("exported: %s %v", &events, err)
	}
	if _, err := logbook.Reach(t.Context(), as(t, "eve"), namespace); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("somebody without rights gets a token: %v", err)
	}
	_ = server.Close()
	if _, err := log.List(t.Context(), audit.Filter{}); err == nil || !strings.Contains(err.Error(), "for its audit log") {
		t.Errorf("a controller that is away: %v", err)
	}
}

func create(t *testing.T, admin client.Client, one client.Object) {
	t.Helper()
	if err := admin.Create(t.Context(), one); err != nil {
		t.Fatal(err)
	}
}

// recorded is a log with two records.
func recorded(t *testing.T) *database.DB {
	t.Helper()
	db, err := database.Open(databasetest.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	key, err := audit.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	log := audit.New(db, audit.Options{Key: audit.KeyFunc(func(context.Context) (audit.SigningKey, error) { return key, nil })})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- log.Run(ctx) }()
	for _, entry := range []record.Entry{{Kind: record.RolledBack, Message: "it is undone"}, {Kind: record.Held, Message: "it is held"}} {
		entry.Subject = record.Subject{Kind: "Kustomization", Namespace: "a", Name: "apps"}
		if err := log.Record(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return db
}
