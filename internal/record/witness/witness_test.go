package witness_test

import (
	"testing"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/witness"
)

func TestActor(t *testing.T) {
	about := record.Subject{Kind: "Kustomization", Namespace: "apps", Name: "web"}
	other := record.Subject{Kind: "Kustomization", Namespace: "apps", Name: "other"}
	book := witness.New(2)
	one, two := witness.Annotated("retry", "1"), witness.Configured(3)
	book.Saw(about, one, "jane")
	book.Saw(about, one, "eve")
	book.Saw(about, two, "john")
	cases := map[string]struct {
		why   string
		book  *witness.Book
		about record.Subject
		what  string
		want  record.Actor
	}{
		"Seen":      {why: "the first who was seen is who asked, whatever is claimed", book: book, about: about, what: one, want: record.Actor{Type: record.Person, Name: "jane"}},
		"Settings":  {why: "a spec has somebody who changed it", book: book, about: about, what: two, want: record.Actor{Type: record.Person, Name: "john"}},
		"Unseen":    {why: "a claim is a claim", book: book, about: other, what: one, want: record.Actor{Type: record.Person, Name: "claims", Claimed: true}},
		"OtherOne":  {why: "another token is another act", book: book, about: about, what: witness.Annotated("retry", "2"), want: record.Actor{Type: record.Person, Name: "claims", Claimed: true}},
		"NoWitness": {why: "without a webhook nobody is seen", about: about, what: one, want: record.Actor{Type: record.Person, Name: "claims", Claimed: true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.book.Actor(c.about, c.what, "claims"); got != c.want {
				t.Errorf("%s: got %+v, want %+v", c.why, got, c.want)
			}
		})
	}
	book.Saw(other, one, "jane")
	if got := book.Who(about, one); got != "" {
		t.Errorf("the oldest is forgotten where there are too many: %s", got)
	}
	book.Saw(other, two, "")
	if got := book.Who(other, two); got != "" {
		t.Errorf("nobody is no witness: %s", got)
	}
}
