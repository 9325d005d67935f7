package send_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
)

// forge keeps the comments of one pull request, as the documentation of three forges has it.
type forge struct {
	comments []map[string]any
	asked    []string
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization")+r.Header.Get("PRIVATE-TOKEN"))
	if strings.HasSuffix(r.URL.Path, "/user") {
		fmt.Fprint(w, `{"login":"bot","username":"bot"}`)
		return
	}
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(f.comments)
		return
	}
	var sent struct{ Body string }
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &sent)
	if r.Method == http.MethodPost {
		me := map[string]any{"login": "bot", "username": "bot"}
		f.comments = append(f.comments, map[string]any{"id": len(f.comments) + 1, "body": sent.Body, "user": me})
		w.WriteHeader(http.StatusCreated)
		return
	}
	var id int
	_, _ = fmt.Sscan(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], &id)
	f.comments[id-1]["body"] = sent.Body
}

// TestComments: an object has one comment on its pull request, which changes with what is to be said.
// What others write there is left alone, whatever it contains.
func TestComments(t *testing.T) {
	cases := map[string]struct{ address, list, create, edit, token, mark string }{
		"githubpullrequestcomment": {
			address: "/acme/platform", token: "Bearer canary-token", mark: "flux-pr-comment-key",
			list:   "/api/v3/repos/acme/platform/issues/7/comments?per_page=100",
			create: "/api/v3/repos/acme/platform/issues/7/comments", edit: "PATCH /api/v3/repos/acme/platform/issues/comments/2",
		},
		"giteapullrequestcomment": {
			address: "/acme/platform", token: "token canary-token", mark: "flux-pr-comment-key",
			list:   "/api/v1/repos/acme/platform/issues/7/comments",
			create: "/api/v1/repos/acme/platform/issues/7/comments", edit: "PATCH /api/v1/repos/acme/platform/issues/comments/2",
		},
		"gitlabmergerequestcomment": {
			address: "/acme/team/platform", token: "canary-token", mark: "flux-mr-comment-key",
			list:   "/api/v4/projects/acme%2Fteam%2Fplatform/merge_requests/7/notes?order_by=created_at&sort=asc&per_page=100",
			create: "/api/v4/projects/acme%2Fteam%2Fplatform/merge_requests/7/notes", edit: "PUT /api/v4/projects/acme%2Fteam%2Fplatform/merge_requests/7/notes/2",
		},
	}
	client := send.NewClient(send.Options{Loopback: true})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mark := "<!-- " + c.mark + ":a1b2/Kustomization/apps/webapp -->"
			f := &forge{comments: []map[string]any{{"id": 1, "body": mark + " by somebody else", "user": map[string]any{"login": "eve", "username": "eve"}}}}
			server := httptest.NewServer(f)
			t.Cleanup(server.Close)
			target := send.Target{Type: name, UID: "a1b2", Address: redact.Text(server.URL + c.address), Token: "canary-token"}
			if answer, err := client.Send(t.Context(), target, failed()); err != nil || answer.Skipped == "" || len(f.asked) > 0 {
				t.Errorf("an event that names no pull request concerns none: %v %+v", err, answer)
			}
			for _, message := range []send.Message{failed(), mended()} {
				message.Metadata["change_request"] = "7"
				if _, err := client.Send(t.Context(), target, message); err != nil {
					t.Fatalf("sending: %v", err)
				}
			}
			prefix := c.list[:strings.Index(c.list, "/v")+3]
			want := []string{"GET " + prefix + "/user", "GET " + c.list, "POST " + c.create, "GET " + prefix + "/user", "GET " + c.list, c.edit}
			for i := range want {
				want[i] += " " + c.token
			}
			if diff := cmp.Diff(want, f.asked); diff != "" {
				t.Errorf("the requests (-want +got):\n%s", diff)
			}
			wrote := mark + "\n\n## Flux Status\n\nℹ️ Kustomization/apps/webapp\n\nRecovered from BuildFailed: finished in 1s\n\n" +
				"Metadata:\n* `summary`: prod\n* `env`: eu\n* `revision`: main@sha1:" + commit + "\n"
			if diff := cmp.Diff([]any{mark + " by somebody else", wrote}, []any{f.comments[0]["body"], f.comments[len(f.comments)-1]["body"]}); diff != "" {
				t.Errorf("the comments (-want +got):\n%s", diff)
			}
			hostile := failed()
			hostile.Metadata["change_request"] = "7/../../secrets"
			if _, err := client.Send(t.Context(), target, hostile); fault.KindOf(err) != fault.Stalled {
				t.Errorf("what is no number is no pull request: %v", err)
			}
		})
	}
}
