package logbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/audit"
	"holdfast.dev/holdfast/internal/record/database"
)

const (
	// Audience is whom a token has to be for: one that is for the API server is not taken, so that
	// nobody is tempted to send us his own.
	Audience = "holdfast.dev/audit"
	// TokenHeader holds the token where Authorization does not get through: the API server keeps that
	// one when it passes requests on.
	TokenHeader = "X-Holdfast-Token"
	// Path is what a reader has to be allowed to "get", as a path that is no resource.
	Path = "/audit"
)

// Deps are what the handler works with.
type Deps struct {
	// Reviews asks the cluster who somebody is, and what he may do.
	Reviews client.Client
	DB      *database.DB
	Log     logr.Logger
}

// maxReaders is how many are answered at a time: an export reads all there is.
const maxReaders = 4

// New makes a server. The caller listens, and closes it.
func New(deps Deps) *http.Server {
	h := &handler{Deps: deps, slots: make(chan struct{}, maxReaders)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/records", h.guarded(h.records))
	mux.HandleFunc("GET /v1/export", h.guarded(h.export))
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
	}
}

type handler struct {
	Deps
	slots chan struct{}
}

// errWho and errMay are all that a stranger learns.
var (
	errWho = errors.New("no token of this cluster for the audience " + Audience + " came along")
	errMay = errors.New("whose token it is may not get " + Path)
)

// guarded lets those pass who may read the log.
func (h *handler) guarded(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "others read the log just now", http.StatusTooManyRequests)
			return
		}
		reader, err := h.admit(r)
		switch {
		case errors.Is(err, errWho):
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case errors.Is(err, errMay):
			http.Error(w, err.Error(), http.StatusForbidden)
		case err != nil:
			h.Log.Error(err, "nobody can read the audit log")
			http.Error(w, "the cluster did not say who may read", http.StatusServiceUnavailable)
		default:
			h.Log.Info("the audit log is read", "by", reader, "path", r.URL.Path)
			answer(w, r)
		}
	}
}

// admit returns the name of the reader.
func (h *handler) admit(r *http.Request) (string, error) {
	token := r.Header.Get(TokenHeader)
	if token == "" {
		token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if token == "" {
		return "", errWho
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	who := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}}}
	if err := h.Reviews.Create(ctx, who); err != nil {
		return "", fmt.Errorf("reviewing a token: %w", err)
	}
	user := who.Status.User
	// A server that knows no audiences answers without them: that is no token for us.
	if !who.Status.Authenticated || user.Username == "" || !slices.Contains(who.Status.Audiences, Audience) {
		return "", errWho
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	may := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: Path, Verb: "get"},
	}}
	if err := h.Reviews.Create(ctx, may); err != nil {
		return "", fmt.Errorf("reviewing the access of %s: %w", user.Username, err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return "", errMay
	}
	return user.Username, nil
}

// Record is a record as it is answered.
type Record struct {
	Number int64        `json:"number"`
	Root   string       `json:"root"`
	Entry  record.Entry `json:"entry"`
}

// Query writes a filter as the parameters of a request.
func Query(f audit.Filter) url.Values {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			query.Set(name, value)
		}
	}
	set("subject", f.Subject)
	set("actor", f.Actor)
	set("from", strconv.FormatInt(f.From, 10))
	set("to", strconv.FormatInt(f.To, 10))
	set("limit", strconv.Itoa(f.Limit))
	for _, kind := range f.Kinds {
		query.Add("kind", string(kind))
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}

// filter reads what Query writes.
func filter(query url.Values) (audit.Filter, error) {
	f := audit.Filter{Subject: query.Get("subject"), Actor: query.Get("actor")}
	for _, kind := range query["kind"] {
		f.Kinds = append(f.Kinds, record.Kind(kind))
	}
	limit := int64(0)
	for name, into := range map[string]*int64{"from": &f.From, "to": &f.To, "limit": &limit} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		number, err := strconv.ParseInt(text, 10, 32+31)
		if err != nil || number < 0 {
			return f, fmt.Errorf("%s is no number", name)
		}
		*into = number
	}
	f.Limit = int(min(limit, 1<<31-1))
	for name, into := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return f, fmt.Errorf("%s is no time", name)
		}
		*into = at
	}
	return f, nil
}

// records answers with the records that a filter chooses.
func (h *handler) records(w http.ResponseWriter, r *http.Request) {
	chosen, err := filter(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	found, err := audit.List(r.Context(), h.DB, chosen)
	if err != nil {
		h.broken(w, err)
		return
	}
	shown := make([]Record, len(found))
	for i, one := range found {
		shown[i] = Record{one.N, one.Root.String(), one.Entry}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(shown) // who went away hears nothing
}

// export answers with the whole log. One that breaks off is cut, and does not verify.
func (h *handler) export(w http.ResponseWriter, r *http.Request) {
	write := audit.Export
	switch r.URL.Query().Get("format") {
	case "", "jsonl":
	case "cloudevents":
		write = audit.ExportEvents
	default:
		http.Error(w, "the formats are jsonl and cloudevents", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	begun := &begun{ResponseWriter: w}
	if err := write(r.Context(), h.DB, begun); err != nil {
		if !begun.wrote {
			h.broken(w, err)
			return
		}
		panic(http.ErrAbortHandler) // so that the reader does not take a part for the whole
	}
}

// begun knows whether something was written.
type begun struct {
	http.ResponseWriter
	wrote bool
}

func (b *begun) Write(content []byte) (int, error) {
	b.wrote = true
	return b.ResponseWriter.Write(content)
}

func (h *handler) broken(w http.ResponseWriter, err error) {
	h.Log.Error(err, "the audit log cannot be read")
	http.Error(w, "the audit log cannot be read; the controller's log says why", http.StatusInternalServerError)
}
