package send

import (
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/event"
)

// Target is where messages go: a Provider with its Secrets resolved.
type Target struct {
	Type string
	// UID is the Provider's; it makes the default name of a commit status unique.
	UID               string
	Address           redact.Text
	AddressIsSecret   bool // not even the host is told
	Channel, Username string
	Token, Password   redact.Text
	Headers           map[string]redact.Text
	Proxy             redact.Text
	TLS               *tls.Config
	Timeout           time.Duration // 0 means 15 s
}

// Message is what is to be said.
type Message struct {
	event.Event
	// Recovery says that the object is well again after an alert.
	Recovery bool
	// Status is the name of the commit status, for targets that set one.
	Status string
}

// who is "kind/name.namespace", as Flux names an object to people.
func (m Message) who() string {
	o := m.InvolvedObject
	return strings.ToLower(o.Kind) + "/" + o.Name + "." + o.Namespace
}

// bad tells whether something went wrong.
func (m Message) bad() bool { return m.Severity == event.Error }

// either returns good or bad, by the severity.
func (m Message) either(good, bad string) string {
	if m.bad() {
		return bad
	}
	return good
}

// field is one entry of metadata.
type field struct{ key, value string }

// fields returns the metadata, the summary first and the rest sorted by key.
func (m Message) fields() []field {
	fields := make([]field, 0, len(m.Metadata))
	for key, value := range m.Metadata {
		fields = append(fields, field{key, value})
	}
	slices.SortFunc(fields, func(a, b field) int {
		if (a.key == event.SummaryKey) != (b.key == event.SummaryKey) {
			if a.key == event.SummaryKey {
				return -1
			}
			return 1
		}
		return strings.Compare(a.key, b.key)
	})
	return fields
}

// shortest is how long a text must be for us to look for it in others: hiding every "a" hides nothing.
const shortest = 4

// secrets lists the texts that must not be seen, longest first.
func (t Target) secrets() []string {
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if len(text) < shortest {
				continue
			}
			all = append(all, text, url.QueryEscape(text), url.PathEscape(text), base64.StdEncoding.EncodeToString([]byte(text)))
		}
	}
	add(t.Token.Reveal(), t.Password.Reveal(), t.Address.Reveal(), t.Proxy.Reveal())
	if t.Password.Reveal() != "" {
		add(t.Username + ":" + t.Password.Reveal())
	}
	for _, value := range t.Headers {
		add(value.Reveal())
	}
	if t.Type == "pagerduty" {
		add(t.Channel) // the routing key
	}
	add(parts(t.Address.Reveal())...)
	add(parts(t.Proxy.Reveal())...)
	add(hosts(t.Proxy.Reveal())...)
	if t.AddressIsSecret {
		add(hosts(t.Address.Reveal())...)
	}
	if key := connection(t.Address.Reveal())["SharedAccessKey"]; key != "" {
		add(key)
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// parts lists what of an address may be a secret: user and password, path and query, and each of
// their longer pieces.
func parts(address string) []string {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil
	}
	all := []string{parsed.RequestURI(), parsed.Fragment}
	if parsed.User != nil {
		password, _ := parsed.User.Password()
		all = append(all, parsed.User.String(), parsed.User.Username(), password)
	}
	for _, segment := range strings.Split(parsed.Path, "/") {
		if len(segment) >= 8 {
			all = append(all, segment)
		}
	}
	for _, values := range parsed.Query() {
		all = append(all, values...)
	}
	return all
}

// hosts lists the names of an address's host, with and without the port.
func hosts(address string) []string {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return []string{parsed.Host, parsed.Hostname()}
}

// Scrub replaces every secret of the target in a text.
func (t Target) Scrub(text string) string {
	for _, secret := range t.secrets() {
		text = strings.ReplaceAll(text, secret, redact.Placeholder)
	}
	return text
}
