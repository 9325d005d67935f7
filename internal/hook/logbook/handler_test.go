package logbook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/localcluster/clustertest"
	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
	"holdfast.dev/holdfast/internal/record/database/databasetest"
)

// filled is a log with some records.
func filled(t *testing.T) *database.DB {
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
	for _, name := range []string{"apps", "other", "apps"} {
		err := log.Record(t.Context(), record.Entry{Kind: record.ReleaseGood, Subject: record.Subject{Kind: "Kustomization", Namespace: "a", Name: name}, Message: "it is good"})
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return db
}

// TestWhoMayRead: the API server decides who somebody is and what he may, and a token for anybody else is
// none for us.
func TestWhoMayRead(t *testing.T) {
	cluster, err := client.New(clustertest.Start(t), client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := clustertest.Namespace(t)
	token := func(account string, audiences ...string) string {
		t.Helper()
		asked := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
		about := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
		if err := cluster.SubResource("token").Create(t.Context(), about, asked); err != nil {
			t.Fatal(err)
		}
		return asked.Status.Token
	}
	for _, made := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "auditor"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "stranger"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{Path}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "auditor"}},
		},
	} {
		if err := cluster.Create(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(New(Deps{Reviews: cluster, DB: filled(t), Log: logr.Discard()}).Handler)
	t.Cleanup(server.Close)
	cases := map[string]struct {
		why, path, header, token string
		code                     int
	}{
		"Auditor":       {why: "who may, may", path: "/v1/export", header: TokenHeader, token: token("auditor", Audience), code: 200},
		"Authorization": {why: "the usual header will do where nobody keeps it", path: "/v1/records", header: "Authorization", token: "Bearer " + token("auditor", Audience), code: 200},
		"Stranger":      {why: "to be somebody is not enough", path: "/v1/export", header: TokenHeader, token: token("stranger", Audience), code: 403},
		"ForOthers":     {why: "a token for the API server is not for us", path: "/v1/export", header: TokenHeader, token: token("auditor"), code: 401},
		"Nobody":        {why: "no token", path: "/v1/export", code: 401},
		"Nonsense":      {why: "what is no token", path: "/v1/records", header: TokenHeader, token: "x.y.z", code: 401},
		"Elsewhere":     {why: "there is nothing else to be had", path: "/", header: TokenHeader, token: token("auditor", Audience), code: 404},
		"Format":        {why: "formats are known", path: "/v1/export?format=x", header: TokenHeader, token: token("auditor", Audience), code: 400},
		"Filter":        {why: "filters are checked", path: "/v1/records?since=yesterday", header: TokenHeader, token: token("auditor", Audience), code: 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, body := get(t, server.URL+c.path, c.header, c.token)
			if code != c.code || strings.Contains(body, "it is good") != (code == http.StatusOK) {
				t.Errorf("%s: answered %d: %s", c.why, code, body)
			}
		})
	}
	_, export := get(t, server.URL+"/v1/export", TokenHeader, token("auditor", Audience))
	if report, err := audit.VerifyExport(strings.NewReader(export), audit.Trust{}); err != nil || report.Vouched != 3 {
		t.Errorf("the export does not verify: %+v %v", report, err)
	}
	_, list := get(t, server.URL+"/v1/records?"+Query(audit.Filter{Subject: "a/apps", Limit: 1}).Encode(), TokenHeader, token("auditor", Audience))
	var found []Record
	if err := json.Unmarshal([]byte(list), &found); err != nil || len(found) != 1 || found[0].Number != 3 || found[0].Entry.Subject.Name != "apps" {
		t.Errorf("the last record of the unit is %s %v", list, err)
	}
}

func get(t *testing.T, address, header, value string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		request.Header.Set(header, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestQueryAndFilterAgree(t *testing.T) {
	want := audit.Filter{
		Subject: "flux-system/apps", Actor: "Ada <ada@example.com>", Kinds: []record.Kind{record.Held, record.Frozen}, From: 3, To: 9, Limit: 7,
		Since: time.Date(2026, 9, 1, 12, 0, 0, 5, time.UTC), Until: time.Date(2026, 9, 2, 12, 0, 0, 0, time.UTC),
	}
	got, err := filter(Query(want))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("what is asked is not what is read (-want +got):\n%s%v", diff, err)
	}
	if got, err := filter(Query(audit.Filter{})); err != nil || cmp.Diff(audit.Filter{}, got) != "" {
		t.Errorf("no filter: %+v %v", got, err)
	}
}
