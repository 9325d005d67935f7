package send

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"holdfast.dev/holdfast/internal/model/fault"
)

// googlePubSub: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
// The address is the project, the channel is the topic, and the token is the JSON key of a service
// account; headers of the Secret become attributes of the message.
func (c *Client) googlePubSub(ctx context.Context, t Target, m Message) (Answer, error) {
	if err := t.needs("address", "channel", "token"); err != nil {
		return Answer{}, fault.Stall("", err)
	}
	account, err := google.JWTConfigFromJSON([]byte(t.Token.Reveal()), "https://www.googleapis.com/auth/pubsub")
	if err != nil { // it quotes the key
		return Answer{}, fault.Stall("", errors.New("a googlepubsub provider needs the JSON key of a service account as token"))
	}
	asked, err := url.Parse(account.TokenURL)
	if err != nil || !c.guard.permits(asked.Hostname()) {
		return Answer{}, fault.Stall("", errForbidden)
	}
	client := c.http(t)
	token, err := account.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	if err != nil {
		return Answer{}, refusedToken(err)
	}
	body, err := json.Marshal(m.Event)
	if err != nil {
		return Answer{}, fault.Stall("", fmt.Errorf("encoding the message: %w", err))
	}
	attributes := map[string]string{}
	for name, value := range t.Headers {
		attributes[name] = value.Reveal()
	}
	address := c.pubsub + "/v1/projects/" + url.PathEscape(t.Address.Reveal()) + "/topics/" + url.PathEscape(t.Channel) + ":publish"
	requests, err := posted(address, map[string]any{
		"messages": []any{map[string]any{"data": base64.StdEncoding.EncodeToString(body), "attributes": attributes}},
	}, "Authorization", "Bearer "+token.AccessToken)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	return c.do(ctx, client, t, requests[0])
}

// refusedToken tells why there is no token, without what the service said: it may quote what it was sent.
func refusedToken(err error) error {
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.Response != nil {
		return &fault.Error{After: slowly, Err: fmt.Errorf("asking for a token: the service answered %s", refusal.Response.Status)}
	}
	if errors.Is(err, errForbidden) {
		return fault.Stall("", errForbidden)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("asking for a token: %w", failure(err))
	}
	return fault.Stall("", errors.New("asking for a token: the key in the Secret is of no use"))
}

// azureEventHub: https://learn.microsoft.com/en-us/rest/api/eventhub/send-event
// The address is a connection string with the name of the hub in it; or the address is that name, the
// channel is the namespace, and the token is a JWT.
func (c *Client) azureEventHub(ctx context.Context, t Target, m Message) (Answer, error) {
	if err := t.needs("address"); err != nil {
		return Answer{}, fault.Stall("", err)
	}
	hub, authorization, err := c.eventHub(t)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	requests, err := posted(hub+"/messages?timeout=60&api-version=2014-01", m.Event,
		"Authorization", authorization, "Content-Type", "application/atom+xml;type=entry;charset=utf-8")
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	return c.do(ctx, c.http(t), t, requests[0])
}

// eventHub returns where a hub is, and the header that opens it.
func (c *Client) eventHub(t Target) (hub, authorization string, err error) {
	address := strings.TrimSpace(t.Address.Reveal())
	if !strings.Contains(address, "SharedAccessKey") {
		if err := t.needs("channel", "token"); err != nil {
			return "", "", err
		}
		host := t.Channel
		if !strings.Contains(host, ".") {
			host += ".servicebus.windows.net"
		}
		return "https://" + host + "/" + url.PathEscape(address), t.bearer()[1], nil
	}
	fields := connection(address)
	endpoint, err := url.Parse(strings.TrimSpace(fields["Endpoint"]))
	name, key, path := fields["SharedAccessKeyName"], fields["SharedAccessKey"], strings.Trim(fields["EntityPath"], "/")
	if err != nil || endpoint.Host == "" || name == "" || key == "" || path == "" {
		return "", "", errors.New("the connection string of an azureeventhub provider needs Endpoint, SharedAccessKeyName, SharedAccessKey and EntityPath")
	}
	hub = "https://" + endpoint.Host + "/" + url.PathEscape(path)
	return hub, sharedAccess(hub, name, key, c.now().Add(time.Hour)), nil
}

// connection reads the parts of a connection string.
func connection(text string) map[string]string {
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(part, "=")
		fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return fields
}

// sharedAccess signs an address for a time:
// https://learn.microsoft.com/en-us/rest/api/eventhub/generate-sas-token
func sharedAccess(address, name, key string, until time.Time) string {
	about, end := url.QueryEscape(address), strconv.FormatInt(until.Unix(), 10)
	sum := hmac.New(sha256.New, []byte(key))
	sum.Write([]byte(about + "\n" + end))
	return "SharedAccessSignature sr=" + about + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sum.Sum(nil))) + "&se=" + end + "&skn=" + url.QueryEscape(name)
}

// pubsubAddress is where Google's Pub/Sub is.
const pubsubAddress = "https://pubsub.googleapis.com"

// way returns how to speak to a service for which a list of requests is not enough.
func (c *Client) way(t Target) (func(context.Context, Target, Message) (Answer, error), bool) {
	if find, found := threads(t.Type); found {
		return func(ctx context.Context, t Target, m Message) (Answer, error) { return c.discuss(ctx, t, m, find) }, true
	}
	way, found := map[string]func(context.Context, Target, Message) (Answer, error){
		"nats": c.publish, "googlepubsub": c.googlePubSub, "azureeventhub": c.azureEventHub,
	}[t.Type]
	return way, found
}
