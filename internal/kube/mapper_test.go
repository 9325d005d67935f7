package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/eventually"
	"holdfast.dev/holdfast/internal/model/object"
)

// server answers discovery with what it serves at the moment.
type server struct {
	mu     sync.Mutex
	groups map[string][]metav1.APIResource // "group/version" to kinds
	asked  int
	broken bool
}

func (s *server) serve(version string, kinds ...metav1.APIResource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[version] = kinds
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(value any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	switch {
	case s.broken:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case r.URL.Path == "/api":
		answer(metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}})
	case r.URL.Path == "/apis":
		s.asked++
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for version := range s.groups {
			one := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: "v1"}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: version[:len(version)-3], Versions: []metav1.GroupVersionForDiscovery{one}, PreferredVersion: one})
		}
		answer(list)
	default:
		version := r.URL.Path[len("/apis/"):]
		kinds, found := s.groups[version]
		if !found || kinds == nil {
			http.Error(w, "the aggregated API does not answer", http.StatusServiceUnavailable)
			return
		}
		answer(metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version, APIResources: kinds})
	}
}

func mapped(t *testing.T, s *server) *Cluster {
	t.Helper()
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	cluster, err := Connect("", &rest.Config{Host: front.URL}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

var (
	widget = object.Ref{Group: "a.example.org", Version: "v1", Kind: "Widget"}
	planet = object.Ref{Group: "b.example.org", Version: "v1", Kind: "Planet"}
)

func TestMapper(t *testing.T) {
	s := &server{groups: map[string][]metav1.APIResource{}}
	s.serve("a.example.org/v1", metav1.APIResource{Name: "widgets", Kind: "Widget", Namespaced: true})
	cluster := mapped(t, s)
	ctx := context.Background()
	for range 3 {
		mapping, err := cluster.Map(ctx, widget)
		if err != nil || mapping.Resource.Resource != "widgets" || !mapping.Namespaced {
			t.Fatalf("%+v, %v", mapping, err)
		}
	}
	if s.asked != 1 {
		t.Errorf("asked %d times for a kind that does not change", s.asked)
	}
	// An object of an unknown kind in a hot loop does not become a stream of discoveries.
	for range 100 {
		if _, err := cluster.Map(ctx, planet); !meta.IsNoMatchError(err) {
			t.Fatalf("a kind that nobody serves: %v", err)
		}
	}
	if s.asked > 3 {
		t.Errorf("asked %d times for a kind that is not there", s.asked)
	}
	// A definition that was applied a moment ago is found as soon as somebody says so.
	s.serve("b.example.org/v1", metav1.APIResource{Name: "planets", Kind: "Planet"})
	cluster.Forget()
	if mapping, err := cluster.Map(ctx, planet); err != nil || mapping.Namespaced {
		t.Errorf("%+v, %v", mapping, err)
	}
}

func TestMapperFindsByItself(t *testing.T) {
	s := &server{groups: map[string][]metav1.APIResource{}}
	s.serve("a.example.org/v1", metav1.APIResource{Name: "widgets", Kind: "Widget", Namespaced: true})
	cluster := mapped(t, s)
	ctx := context.Background()
	if _, err := cluster.Map(ctx, planet); !meta.IsNoMatchError(err) {
		t.Fatal(err)
	}
	s.serve("b.example.org/v1", metav1.APIResource{Name: "planets", Kind: "Planet"})
	eventually.True(t, "a kind that came later is found", func() bool {
		_, err := cluster.Map(ctx, planet)
		return err == nil
	})
}

func TestMapperTrouble(t *testing.T) {
	s := &server{groups: map[string][]metav1.APIResource{}}
	s.serve("a.example.org/v1", metav1.APIResource{Name: "widgets", Kind: "Widget", Namespaced: true})
	s.serve("b.example.org/v1") // listed, and does not answer
	cluster := mapped(t, s)
	ctx := context.Background()
	if _, err := cluster.Map(ctx, widget); err != nil {
		t.Errorf("a broken aggregated API hides other groups: %v", err)
	}
	s.mu.Lock()
	s.broken = true
	s.mu.Unlock()
	cluster.Forget()
	if _, err := cluster.Map(ctx, widget); err == nil || meta.IsNoMatchError(err) {
		t.Errorf("a server that is out of order does not mean that the kind is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := cluster.Map(ctx, widget); err == nil {
		t.Error("a call whose time is over was made")
	}
}
