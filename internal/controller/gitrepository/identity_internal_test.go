package gitrepository

import (
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/kube/identity"
	"holdfast.dev/holdfast/internal/kube/identity/identitytest"
	"holdfast.dev/holdfast/internal/model/fault"
)

// TestIdentity: a source reads as its ServiceAccount, and one without an account is told so.
func TestIdentity(t *testing.T) {
	world := identitytest.New(t)
	world.Account("web", "robot", identitytest.Everybody())
	c := &Controller{Deps: Deps{Deps: source.Deps{Identities: world.Source(identity.Options{})}}}
	cases := map[string]struct {
		why          string
		spec         sourcev1.GitRepositorySpec
		user, secret string
		says         string
		stalled      bool
	}{
		"Azure": {
			why:    "Azure DevOps takes a bearer token",
			spec:   sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://dev.azure.com/org/p/_git/r", ServiceAccountName: "robot"},
			secret: "azure of web.robot for 499b84ac-1321-427f-aa17-267ca6975798/.default",
		},
		"AWS": {
			why:  "CodeCommit takes a signature",
			spec: sourcev1.GitRepositorySpec{Provider: "aws", URL: "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/r", ServiceAccountName: "robot"},
			user: "AKIAweb.robot%session-", secret: "20",
		},
		"NoAccount":   {why: "ours is not lent", spec: sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://dev.azure.com/org/p/_git/r"}, says: "serviceAccountName", stalled: true},
		"Absent":      {why: "it may be made any time", spec: sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://dev.azure.com/org/p/_git/r", ServiceAccountName: "absent"}, says: "ServiceAccount web/absent not found"},
		"Elsewhere":   {why: "a token is for its provider", spec: sourcev1.GitRepositorySpec{Provider: "azure", URL: "https://git.example.org/r", ServiceAccountName: "robot"}, says: "Azure DevOps alone"},
		"SSH":         {why: "a login is for https", spec: sourcev1.GitRepositorySpec{Provider: "aws", URL: "ssh://git-codecommit.eu-west-1.amazonaws.com/v1/repos/r", ServiceAccountName: "robot"}, says: "needs an https address", stalled: true},
		"Google":      {why: "it has none", spec: sourcev1.GitRepositorySpec{Provider: "gcp", URL: "https://source.developers.google.com/p/x"}, says: "none of generic, github, azure, aws", stalled: true},
		"Purposeless": {why: "it would be ignored", spec: sourcev1.GitRepositorySpec{URL: "https://git.example.org/r", ServiceAccountName: "robot"}, says: "providers azure and aws", stalled: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "r"}, Spec: tc.spec}
			request, err := requestOf(object)
			if err == nil {
				err = c.addSecrets(t.Context(), object, &request)
			}
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) || (fault.KindOf(err) == fault.Stalled) != tc.stalled {
					t.Errorf("%s: %v", tc.why, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.why, err)
			}
			login, err := request.Auth.Tokens.Login(t.Context())
			if err != nil || !strings.HasPrefix(login.User.Reveal(), tc.user) || (tc.user == "") != (login.User == "") || !strings.HasPrefix(login.Secret.Reveal(), tc.secret) {
				t.Errorf("%s: %q %q, %v", tc.why, login.User.Reveal(), login.Secret.Reveal(), err)
			}
			if owner := request.Auth.Tokens.Owner().Reveal(); !strings.Contains(owner, `"web" "robot"`) {
				t.Errorf("a repository on the disk is one account's: %s", owner)
			}
		})
	}
}
