package send

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/record/event"
)

// thread is where the comments of a pull request are, and how they are written.
type thread struct {
	whoami string // answers with the account that the token is of
	list   string // answers with the comments, the oldest first
	create string
	// edit returns how to change a comment.
	edit   func(id int64) (method, address string)
	header []string
	// prefix begins the mark by which Flux and we know our own comments.
	prefix string
}

// threads returns how to comment on a forge's pull requests.
func threads(name string) (func(Target, int64) (thread, error), bool) {
	find, known := map[string]func(Target, int64) (thread, error){
		"githubpullrequestcomment": githubThread, "gitlabmergerequestcomment": gitlabThread, "giteapullrequestcomment": giteaThread,
	}[name]
	return find, known
}

// githubThread: https://docs.github.com/en/rest/issues/comments
func githubThread(t Target, number int64) (thread, error) {
	at, err := githubAPI(t)
	if err != nil {
		return thread{}, err
	}
	issues := at.root + "/repos/" + at.path + "/issues/"
	return thread{
		whoami: at.root + "/user", list: fmt.Sprintf("%s%d/comments?per_page=100", issues, number), create: fmt.Sprintf("%s%d/comments", issues, number),
		edit:   func(id int64) (string, string) { return http.MethodPatch, fmt.Sprintf("%scomments/%d", issues, id) },
		header: githubHeaders(t), prefix: "flux-pr-comment-key",
	}, nil
}

// giteaThread: https://docs.gitea.com/api/next/#tag/issue
func giteaThread(t Target, number int64) (thread, error) {
	at, err := giteaAPI(t)
	if err != nil {
		return thread{}, err
	}
	issues := at.root + "/repos/" + at.path + "/issues/"
	return thread{
		whoami: at.root + "/user", list: fmt.Sprintf("%s%d/comments", issues, number), create: fmt.Sprintf("%s%d/comments", issues, number),
		edit:   func(id int64) (string, string) { return http.MethodPatch, fmt.Sprintf("%scomments/%d", issues, id) },
		header: giteaHeaders(t), prefix: "flux-pr-comment-key",
	}, nil
}

// gitlabThread: https://docs.gitlab.com/api/notes/#merge-requests
func gitlabThread(t Target, number int64) (thread, error) {
	at, err := gitlabAPI(t)
	if err != nil {
		return thread{}, err
	}
	notes := fmt.Sprintf("%s/projects/%s/merge_requests/%d/notes", at.root, at.path, number)
	return thread{
		whoami: at.root + "/user", list: notes + "?order_by=created_at&sort=asc&per_page=100", create: notes,
		edit:   func(id int64) (string, string) { return http.MethodPut, fmt.Sprintf("%s/%d", notes, id) },
		header: gitlabHeaders(t), prefix: "flux-mr-comment-key",
	}, nil
}

// comment is what a forge says of one.
type comment struct {
	ID     int64   `json:"id"`
	Body   string  `json:"body"`
	User   account `json:"user"`   // GitHub and Gitea
	Author account `json:"author"` // GitLab
}

type account struct {
	Login    string `json:"login"`
	Username string `json:"username"`
}

func (a account) name() string {
	if a.Login != "" {
		return a.Login
	}
	return a.Username
}

// maxComments bounds what is read of a list of comments, in bytes.
const maxComments = 16 << 20

var errNobody = errors.New("the service does not say whose the token is")

// discuss keeps one comment for an object on the pull request that an event names: it is written once,
// and changed from then on. Only a comment of the token's own account is ever changed.
func (c *Client) discuss(ctx context.Context, t Target, m Message, find func(Target, int64) (thread, error)) (Answer, error) {
	number, err := m.changeRequest()
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	at, err := find(t, number)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	if number == 0 {
		return Answer{Skipped: "the event names no pull request (annotation " + event.Group + "/" + event.ChangeRequestKey + " on the object)"}, nil
	}
	client := c.http(t)
	var us account
	if answer, err := c.do(ctx, client, t, at.get(at.whoami, &us)); err != nil {
		return answer, err
	}
	if us.name() == "" {
		return Answer{}, &fault.Error{After: slowly, Err: errNobody}
	}
	var comments []comment
	if answer, err := c.do(ctx, client, t, at.get(at.list, &comments)); err != nil {
		return answer, err
	}
	mark := m.mark(at.prefix, t.UID)
	method, address := http.MethodPost, at.create
	for _, one := range comments {
		if writer := one.User.name() + one.Author.name(); writer == us.name() && strings.Contains(one.Body, mark) {
			method, address = at.edit(one.ID)
			break
		}
	}
	requests, err := posted(address, map[string]string{"body": mark + "\n\n" + m.markdown()}, at.header...)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	requests[0].method = method
	return c.do(ctx, client, t, requests[0])
}

// get makes a request whose answer is decoded.
func (at thread) get(address string, into any) request {
	made := request{method: http.MethodGet, url: address, header: map[string]string{}, most: maxComments}
	for i := 0; i+1 < len(at.header); i += 2 {
		made.header[at.header[i]] = at.header[i+1]
	}
	made.check = func(code int, body []byte) (error, bool) { //nolint:revive,staticcheck // the error is the result here
		if code != http.StatusOK {
			return nil, false
		}
		if json.Unmarshal(body, into) != nil {
			return fault.Stall("", errors.New("the service answered something else than its documentation says")), true
		}
		return nil, true
	}
	return made
}

var digits = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// changeRequest returns the number of the pull request that an event names, 0 for none.
func (m Message) changeRequest() (int64, error) {
	text := m.Metadata[event.ChangeRequestKey]
	if text == "" {
		text = m.Own(event.ChangeRequestKey)
	}
	if text == "" {
		return 0, nil
	}
	if !digits.MatchString(text) {
		return 0, fmt.Errorf("the pull request %s is not a number", strconv.Quote(cut(text, 40)))
	}
	return strconv.ParseInt(text, 10, 64)
}

// mark is hidden in a comment, and names the object and the provider that it is about. It is Flux's, so
// that one takes over where the other left.
func (m Message) mark(prefix, uid string) string {
	return "<!-- " + prefix + ":" + uid + "/" + m.Object() + " -->"
}

// markdown writes a message for a forge.
func (m Message) markdown() string {
	var text strings.Builder
	fmt.Fprintf(&text, "## Flux Status\n\n%s %s\n\n%s\n\nMetadata:\n", m.either("ℹ️", "⚠️"), m.Object(), m.Event.Message)
	for _, f := range m.fields() {
		if f.key != event.ChangeRequestKey {
			fmt.Fprintf(&text, "* `%s`: %s\n", f.key, f.value)
		}
	}
	return text.String()
}
