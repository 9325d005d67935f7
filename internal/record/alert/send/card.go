package send

import (
	"encoding/json"
	"strings"
)

// msteams sends an Adaptive Card to a workflow's webhook, or the old card to an Office connector:
// https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
func msteams(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	address, err := parse(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(address.Hostname(), ".webhook.office.com") {
		return posted(t.Address.Reveal(), connectorCard(m))
	}
	return posted(t.Address.Reveal(), adaptiveCard(m))
}

func adaptiveCard(m Message) any {
	facts := []any{}
	for _, f := range m.fields() {
		facts = append(facts, map[string]string{"title": f.key, "value": f.value})
	}
	message := map[string]any{"type": "TextBlock", "text": m.Event.Message, "wrap": true}
	if m.bad() {
		message["color"] = "attention"
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
			"type":    "AdaptiveCard", "version": "1.4",
			"msteams": map[string]string{"width": "Full"},
			"body": []any{map[string]any{"type": "Container", "items": []any{
				map[string]any{"type": "TextBlock", "text": m.who(), "size": "large", "weight": "bolder", "wrap": true},
				message,
				map[string]any{"type": "FactSet", "facts": facts},
			}}},
		},
	}}}
}

func connectorCard(m Message) any {
	facts := []any{}
	for _, f := range m.fields() {
		facts = append(facts, map[string]string{"name": f.key, "value": f.value})
	}
	return map[string]any{
		"@type": "MessageCard", "@context": "http://schema.org/extensions",
		"themeColor": m.either("0076D7", "FF0000"), "summary": m.who(),
		"sections": []any{map[string]any{"activityTitle": m.Event.Message, "activitySubtitle": m.who(), "facts": facts}},
	}
}

// lark: https://open.larksuite.com/document/client-docs/bot-v3/add-custom-bot
func lark(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	text := "**" + m.Event.Message + "**\n\n"
	for _, f := range m.fields() {
		text += f.key + ": " + f.value + "\n"
	}
	requests, err := posted(t.Address.Reveal(), map[string]any{
		"msg_type": "interactive",
		"card": map[string]any{
			"config": map[string]bool{"wide_screen_mode": true},
			"header": map[string]any{
				"title":    map[string]string{"tag": "plain_text", "content": m.either("💫", "🚨") + " " + m.who()},
				"template": m.either("turquoise", "red"),
			},
			"elements": []any{map[string]any{"tag": "div", "text": map[string]string{"tag": "lark_md", "content": text}}},
		},
	})
	if err == nil {
		requests[0].check = larkVerdict
	}
	return requests, err
}

// larkVerdict reads the code in the answer: Lark's status is 200 for refusals, too.
func larkVerdict(status int, body []byte) (error, bool) { //nolint:revive // the error is the result here
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"msg"`
	}
	if status != 200 || json.Unmarshal(body, &answer) != nil || answer.Code == 0 {
		return nil, false //nolint:nilerr // what is no answer of Lark's is judged by its status
	}
	return refused(answer.Message), true
}

// zoom: https://support.zoom.com/hc/en/article?id=zm_kb&sysparm_article=KB0067640
func zoom(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token"); err != nil {
		return nil, err
	}
	address, err := parse(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	query := address.Query()
	if query.Get("format") == "" {
		query.Set("format", "full")
		address.RawQuery = query.Encode()
	}
	body := []any{map[string]any{"type": "message", "text": m.Event.Message}}
	if fields := m.fields(); len(fields) > 0 {
		items := []any{}
		for _, f := range fields {
			items = append(items, map[string]string{"key": f.key, "value": f.value})
		}
		body = append(body, map[string]any{"type": "fields", "items": items})
	}
	return posted(address.String(), map[string]any{"content": map[string]any{
		"head": map[string]any{"text": m.who(), "sub_head": map[string]string{"text": m.Severity}},
		"body": body,
	}}, "Authorization", t.Token.Reveal())
}
