package event

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The severities of an Event.
const (
	Trace = "trace"
	Info  = "info"
	Error = "error"
)

// Group is the prefix of the metadata that people write as annotations on an object.
const Group = "event.toolkit.fluxcd.io"

// The keys of metadata that mean something here. A controller puts its API group before them.
const (
	RevisionKey       = "revision"
	OriginRevisionKey = "originRevision"
	TokenKey          = "token"
	CommitKey         = "commit"
	CommitStatusKey   = "commit_status"
	SummaryKey        = "summary"
	ChangeRequestKey  = "change_request"
)

// Progressing is the reason of what is still going on: neither success nor failure.
const Progressing = "Progressing"

// maxMessage is the longest message, in bytes. Flux's schema has the same number, in characters.
const maxMessage = 39000

// Event is what a controller says of an object. Its JSON is that of Flux's v1beta1 events.
type Event struct {
	InvolvedObject      corev1.ObjectReference `json:"involvedObject"`
	Severity            string                 `json:"severity"`
	Timestamp           metav1.Time            `json:"timestamp"`
	Message             string                 `json:"message"`
	Reason              string                 `json:"reason"`
	Metadata            map[string]string      `json:"metadata,omitempty"`
	ReportingController string                 `json:"reportingController"`
	ReportingInstance   string                 `json:"reportingInstance,omitempty"`
}

// Group returns the API group of the involved object, which prefixes its controller's metadata.
func (e Event) Group() string {
	return e.InvolvedObject.GroupVersionKind().Group
}

// Object names the involved object as "Kind/namespace/name".
func (e Event) Object() string {
	o := e.InvolvedObject
	return o.Kind + "/" + o.Namespace + "/" + o.Name
}

// Own returns what the controller says under a key, without the group's prefix.
func (e Event) Own(key string) string { return e.Metadata[e.Group()+"/"+key] }

// Revision returns the revision that the event is about: the origin's where there is one. Both the
// controller's keys and those of an alert's message, which have no prefix, are looked at.
func (e Event) Revision() string {
	for _, key := range []string{OriginRevisionKey, RevisionKey} {
		if value := e.Own(key); value != "" {
			return value
		}
		if value := e.Metadata[key]; value != "" {
			return value
		}
	}
	return ""
}

// StatusUpdate tells whether the event is there to set the status of a commit, and for nothing else.
func (e Event) StatusUpdate() bool { return e.Own(CommitStatusKey) == "update" }

// Copy returns an event that shares no map with e.
func (e Event) Copy() Event {
	e.Metadata = maps.Clone(e.Metadata)
	return e
}

// WithoutToken returns the event without the token that only tells duplicates apart.
func (e Event) WithoutToken() Event {
	key := e.Group() + "/" + TokenKey
	if _, found := e.Metadata[key]; !found {
		return e
	}
	e = e.Copy()
	delete(e.Metadata, key)
	return e
}

// Key is the same for events that say the same: of one object, with one gist, at one revision, with
// one token.
func (e Event) Key() string {
	encoded, _ := json.Marshal([]string{ // strings always encode
		e.Object(), e.Severity, e.Reason, Gist(e.Message),
		e.Own(RevisionKey), e.Own(OriginRevisionKey), e.Own(TokenKey),
	})
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

var (
	durations = regexp.MustCompile(`\b(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+\b`)
	moments   = regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`)
)

// Gist is a message without what differs each time it is said: durations and moments.
func Gist(message string) string {
	return durations.ReplaceAllString(moments.ReplaceAllString(message, "#"), "#")
}

// shortened keeps a message below the size that receivers take.
func shortened(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return strings.ToValidUTF8(message[:cut], "") + "…"
}
