package send

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// generic posts the event itself, with the headers of the Secret.
func generic(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	requests, err := posted(t.Address.Reveal(), m.Event, "Gotk-Component", m.ReportingController)
	if err != nil {
		return nil, err
	}
	for name, value := range t.Headers {
		requests[0].header[name] = value.Reveal()
	}
	return requests, nil
}

// genericHMAC signs what generic posts, so that the receiver knows who it is from.
func genericHMAC(t Target, m Message) ([]request, error) {
	if err := t.needs("token"); err != nil {
		return nil, err
	}
	requests, err := generic(t, m)
	if err != nil {
		return nil, err
	}
	sum := hmac.New(sha256.New, []byte(t.Token.Reveal()))
	sum.Write(requests[0].body)
	requests[0].header["X-Signature"] = "sha256=" + hex.EncodeToString(sum.Sum(nil))
	return requests, nil
}

// githubDispatch starts workflows: https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event
func githubDispatch(t Target, m Message) ([]request, error) {
	at, err := githubAPI(t)
	if err != nil {
		return nil, err
	}
	o := m.InvolvedObject
	return posted(at.root+"/repos/"+at.path+"/dispatches", map[string]any{
		"event_type":     o.Kind + "/" + o.Name + "." + o.Namespace,
		"client_payload": m.Event,
	}, githubHeaders(t)...)
}

// cut shortens a text to a number of characters.
func cut(text string, characters int) string {
	runes := []rune(text)
	if len(runes) <= characters {
		return text
	}
	return string(runes[:characters-1]) + "…"
}

// plain writes a message as text, with a line for each entry of metadata.
func (m Message) plain(good, bad string) string {
	var text strings.Builder
	text.WriteString(m.either(good, bad) + " " + m.who() + "\n" + m.Event.Message + "\n")
	for _, f := range m.fields() {
		text.WriteString("- " + f.key + ": " + f.value + "\n")
	}
	return text.String()
}
