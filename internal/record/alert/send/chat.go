package send

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"strings"

	"holdfast.dev/holdfast/internal/model/fault"
)

// attachment is Slack's: https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
type attachment struct {
	Color      string            `json:"color"`
	AuthorName string            `json:"author_name"`
	Text       string            `json:"text"`
	MarkdownIn []string          `json:"mrkdwn_in"`
	Fields     []attachmentField `json:"fields"`
}

type attachmentField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

// slackMessage is what Slack, Rocket.Chat and Discord's /slack endpoint all take.
func slackMessage(t Target, m Message) map[string]any {
	fields := []attachmentField{}
	for _, f := range m.fields() {
		fields = append(fields, attachmentField{Title: f.key, Value: f.value})
	}
	message := map[string]any{
		"username": t.Username,
		"attachments": []attachment{{
			Color: m.either("good", "danger"), AuthorName: m.who(), Text: m.Event.Message,
			MarkdownIn: []string{"text"}, Fields: fields,
		}},
	}
	if t.Username == "" {
		message["username"] = m.ReportingController
	}
	if t.Channel != "" {
		message["channel"] = t.Channel
	}
	return message
}

// slack speaks to an incoming webhook or, with a bot's token, to chat.postMessage.
func slack(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	m.Event.Message = slackText(m.Event.Message)
	requests, err := posted(t.Address.Reveal(), slackMessage(t, m), t.bearer()...)
	if err == nil && strings.HasSuffix(strings.TrimRight(t.Address.Reveal(), "/"), "/api/chat.postMessage") {
		requests[0].check = slackVerdict
	}
	return requests, err
}

// slackText keeps a message from becoming links and calls to everyone
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func slackText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// slackVerdict reads the answer of Slack's API, whose status is 200 whatever happened.
func slackVerdict(status int, body []byte) (error, bool) { //nolint:revive // the error is the result here
	if status != 200 {
		return nil, false
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return refused("its answer is not that of Slack's API"), true
	}
	switch answer.Error {
	case "":
		if answer.OK {
			return nil, true
		}
		return errRefused, true
	case "ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout":
		return refused(answer.Error), true
	}
	return &fault.Error{After: slowly, Err: refused(answer.Error)}, true // a person may invite the bot, or mend the token
}

func rocket(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil {
		return nil, err
	}
	return posted(t.Address.Reveal(), slackMessage(t, m))
}

func discord(t Target, m Message) ([]request, error) {
	address := t.Address.Reveal()
	if !strings.HasSuffix(address, "/slack") {
		var err error
		if address, err = t.below("slack"); err != nil {
			return nil, err
		}
	}
	return posted(address, slackMessage(t, m))
}

// telegram: https://core.telegram.org/bots/api#sendmessage
func telegram(t Target, m Message) ([]request, error) {
	if err := t.needs("token", "channel"); err != nil {
		return nil, err
	}
	root := "https://api.telegram.org"
	if t.Address.Reveal() != "" {
		var err error
		if root, err = t.root(); err != nil {
			return nil, err
		}
	}
	var text strings.Builder
	text.WriteString("*" + telegramText(m.either("💫", "🚨")+" "+m.who()) + "*\n")
	text.WriteString(telegramText(cut(m.Event.Message, 1500)) + "\n")
	for _, f := range m.fields() {
		text.WriteString("\\- *" + telegramText(f.key) + "*: " + telegramText(cut(f.value, 200)) + "\n")
	}
	chat, thread, inThread := strings.Cut(t.Channel, ":")
	message := map[string]any{"chat_id": chat, "text": text.String(), "parse_mode": "MarkdownV2"}
	if inThread {
		message["message_thread_id"] = thread
	}
	return posted(root+"/bot"+t.Token.Reveal()+"/sendMessage", message)
}

// telegramText escapes what means something in Telegram's Markdown.
func telegramText(text string) string {
	var escaped strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\_*[]()~`>#+-=|{}.!", r) {
			escaped.WriteByte('\\')
		}
		escaped.WriteRune(r)
	}
	return escaped.String()
}

// matrix: https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
func matrix(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token", "channel"); err != nil {
		return nil, err
	}
	base, err := parse(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	address := strings.TrimRight(base.String(), "/") + "/_matrix/client/v3/rooms/" + url.PathEscape(t.Channel) +
		"/send/m.room.message/" + m.once()
	requests, err := posted(address, map[string]string{"msgtype": "m.text", "body": m.plain("💫", "🚨")}, t.bearer()...)
	if err != nil {
		return nil, err
	}
	requests[0].method = "PUT"
	return requests, nil
}

// webex: https://developer.webex.com/docs/api/v1/messages/create-a-message
func webex(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token", "channel"); err != nil {
		return nil, err
	}
	var text strings.Builder
	text.WriteString(m.either("✅", "💣") + " **" + m.who() + "**\n" + cut(m.Event.Message, 5000) + "\n")
	for _, f := range m.fields() {
		text.WriteString(">**" + f.key + "**: " + f.value + "\n")
	}
	return posted(t.Address.Reveal(), map[string]string{"roomId": t.Channel, "markdown": text.String()}, t.bearer()...)
}

// zulip: https://zulip.com/api/send-message
func zulip(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "username", "password"); err != nil {
		return nil, err
	}
	channel, topic, found := strings.Cut(t.Channel, "/")
	if !found || channel == "" || topic == "" {
		return nil, errors.New("a zulip provider needs a channel of the form <channel>/<topic>")
	}
	root, err := t.root()
	if err != nil {
		return nil, err
	}
	o := m.InvolvedObject
	text := "## Flux Status\n\n" + m.either("ℹ️", "⚠️") + " " + o.Kind + "/" + o.Namespace + "/" + o.Name + "\n\n" + cut(m.Event.Message, 8000) + "\n\nMetadata:\n"
	for _, f := range m.fields() {
		text += "* `" + f.key + "`: " + f.value + "\n"
	}
	form := url.Values{"type": {"stream"}, "to": {channel}, "topic": {topic}, "content": {text}}
	return []request{{
		url: root + "/api/v1/messages", body: []byte(form.Encode()),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Authorization": basic(t.Username, t.Password.Reveal())},
	}}, nil
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// mastodon: https://docs.joinmastodon.org/methods/statuses/#create
func mastodon(t Target, m Message) ([]request, error) {
	if err := t.needs("address", "token"); err != nil {
		return nil, err
	}
	const path = "/api/v1/statuses"
	base, err := parse(t.Address.Reveal())
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(strings.TrimRight(base.Path, "/"), path) {
		base = base.JoinPath(path)
	}
	status := map[string]string{"status": cut(strings.TrimSpace(m.plain("💫", "🚨")), 500)}
	return posted(base.String(), status, append(t.bearer(), "Idempotency-Key", m.once())...)
}

// googleChat: https://developers.google.com/workspace/chat/api/reference/rest/v1/cards
func googleChat(t Target, m Message) ([]request, error) {
	if err := t.needs("address"); err != nil || m.progressing() {
		return nil, err
	}
	text := html.EscapeString(m.Event.Message)
	if m.bad() {
		text = `<font color="#ff0000">` + text + `</font>`
	}
	line := func(label, text string) map[string]any {
		return map[string]any{"decoratedText": map[string]any{"topLabel": label, "text": html.EscapeString(text), "wrapText": true}}
	}
	lines := []any{line("timestamp", m.Timestamp.UTC().Format("2006-01-02 15:04:05 MST"))}
	for _, f := range m.fields() {
		lines = append(lines, line(f.key, f.value))
	}
	return posted(t.Address.Reveal(), map[string]any{"cardsV2": []any{map[string]any{
		"cardId": m.once(),
		"card": map[string]any{
			"header": map[string]string{"title": m.who(), "subtitle": m.ReportingController},
			"sections": []any{
				map[string]any{"widgets": []any{map[string]any{"textParagraph": map[string]string{"text": text}}}},
				map[string]any{"widgets": lines},
			},
		},
	}}})
}
