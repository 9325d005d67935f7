package send

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/model/redact"
)

// request is one HTTP request. The URL and the header may hold secrets.
type request struct {
	method string // empty is POST
	url    string
	header map[string]string
	body   []byte
	most   int64 // bytes of the answer that are read; 0 is maxAnswer
	// check judges an answer where the status alone does not; it leaves others undecided.
	check func(status int, body []byte) (verdict error, decided bool)
}

// scrub hides what a request authorizes with and its target does not hold: a token for an hour, or a
// signature.
func (r request) scrub(text string) string {
	if scheme, secret, found := strings.Cut(r.header["Authorization"], " "); found && len(secret) >= shortest {
		text = strings.ReplaceAll(text, secret, redact.Placeholder)
		text = strings.ReplaceAll(text, scheme+" "+url.QueryEscape(secret), redact.Placeholder)
	}
	return text
}

// builder makes the requests for a message: none where the service has nothing to say about it.
type builder func(Target, Message) ([]request, error)

// builders returns how to speak to a type of service.
func builders(name string) (builder, bool) {
	build, known := map[string]builder{
		"generic": generic, "generic-hmac": genericHMAC, "githubdispatch": githubDispatch,
		"slack": slack, "rocket": rocket, "discord": discord, "msteams": msteams, "googlechat": googleChat,
		"telegram": telegram, "matrix": matrix, "webex": webex, "lark": lark, "zulip": zulip,
		"zoom": zoom, "mastodon": mastodon,
		"pagerduty": pagerduty, "opsgenie": opsgenie, "incidentio": incidentio, "alertmanager": alertmanager,
		"grafana": grafana, "datadog": datadog, "sentry": sentry,
		"otel":   otel,
		"github": setting(githubAPI, github), "gitlab": setting(gitlabAPI, gitlab), "gitea": setting(giteaAPI, gitea),
		"bitbucket": setting(withToken(ownerAndName), bitbucket), "bitbucketserver": setting(bitbucketServerAPI, bitbucketServer),
		"azuredevops": setting(withToken(azureDevOpsAPI), azureDevOps),
	}[name]
	return build, known
}

// Serves tells whether messages can be sent to a type of Provider.
func Serves(name string) bool {
	_, built := builders(name)
	_, known := (&Client{}).way(Target{Type: name})
	return built || known
}

// SetsStatus tells whether a type of Provider sets the status of commits.
func SetsStatus(name string) bool {
	return slices.Contains([]string{"github", "gitlab", "gitea", "bitbucket", "bitbucketserver", "azuredevops"}, name)
}

// Unserved says in a sentence that a type of Provider is not served.
func Unserved(name string) error {
	return fmt.Errorf("providers of type %s are not served by Holdfast yet: nothing is sent to this one", name)
}

// posted makes a request with a JSON body. Headers are pairs of name and value.
func posted(address string, body any, header ...string) ([]request, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding the message: %w", err)
	}
	made := request{url: address, body: encoded, header: map[string]string{"Content-Type": "application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		made.header[header[i]] = header[i+1]
	}
	return []request{made}, nil
}

// bearer is the header with a target's token, or nothing where it has none.
func (t Target) bearer() []string {
	if t.Token.Reveal() == "" {
		return nil
	}
	return []string{"Authorization", "Bearer " + t.Token.Reveal()}
}

// needs returns an error where something is missing that a service cannot do without.
func (t Target) needs(fields ...string) error {
	for _, name := range fields {
		value := map[string]string{
			"address": t.Address.Reveal(), "token": t.Token.Reveal(), "channel": t.Channel,
			"username": t.Username, "password": t.Password.Reveal(),
		}[name]
		if value == "" {
			return fmt.Errorf("a %s provider needs a %s", t.Type, name)
		}
	}
	return nil
}

// below returns the target's address with a path put below it.
func (t Target) below(path ...string) (string, error) {
	base, err := parse(t.Address.Reveal())
	if err != nil {
		return "", err
	}
	return base.JoinPath(path...).String(), nil
}

// root returns scheme and host of the target's address.
func (t Target) root() (string, error) {
	base, err := parse(t.Address.Reveal())
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: base.Scheme, Host: base.Host}).String(), nil
}

var errRefused = errors.New("the service did not take the message")

// refused quotes a service's own short word for what went wrong.
func refused(word string) error {
	word = strings.Join(strings.Fields(word), " ")
	if word == "" || len(word) > 100 {
		return errRefused
	}
	return fmt.Errorf("%w: %s", errRefused, word)
}

// merged joins maps of strings; later ones win.
func merged(all ...map[string]string) map[string]string {
	joined := map[string]string{}
	for _, one := range all {
		maps.Copy(joined, one)
	}
	return joined
}
