package gitrepository

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"holdfast.dev/holdfast/internal/record"
)

func TestWords(t *testing.T) {
	o := outcome{Artifact: &meta.Artifact{Revision: "main@sha1:1"}}
	said := words()
	if got, want := said.Stored(nil, o).Message, "stored artifact for revision 'main@sha1:1'"; got != want {
		t.Errorf("ready says %q, want %q", got, want)
	}
	if got, want := said.UpToDate(nil, o).Reason, sourcev1.GitOperationSucceedReason; got != want {
		t.Errorf("up to date has the reason %q, want %q", got, want)
	}
	for title, want := range map[string]string{
		"":                       "stored artifact for commit 'main@sha1:1'",
		"web: use the new image": "stored artifact for commit 'web: use the new image'",
		"web: use the new image, which has a much longer name than before": "stored artifact for commit 'web: use the new image, which has a much longer na...'",
	} {
		o.Revision = record.Revision{Title: title}
		if got := said.Told(nil, o); got != want {
			t.Errorf("an event says %q, want %q", got, want)
		}
	}
}
