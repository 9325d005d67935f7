package kube

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
)

// Schemas are what a cluster says of the kinds that it serves: one document for each group and version.
// All identities of a cluster share them. It is safe for concurrent use.
type Schemas struct {
	finder discovery.DiscoveryInterface

	lock    sync.Mutex
	index   map[string]openapi.GroupVersion
	read    time.Time
	version string
	asked   time.Time
}

// Schemas returns the schemas of the cluster. The result is the same for all identities, so that it can
// be the key of what is made of them.
func (c *Cluster) Schemas() *Schemas { return c.mapper.schemas }

// versionAge is how long a server's version is believed: it is upgraded now and then.
const versionAge = 10 * time.Minute

var minorVersion = regexp.MustCompile(`^v(\d+\.\d+)\.`)

// Version returns the server's minor version, as "1.36", "" where it says something else.
func (s *Schemas) Version(ctx context.Context) (string, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if time.Since(s.asked) < versionAge {
		return s.version, nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	said, err := s.finder.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("asking for the server's version: %w", err)
	}
	s.version, s.asked = "", time.Now()
	if found := minorVersion.FindStringSubmatch(said.GitVersion); found != nil {
		s.version = found[1]
	}
	return s.version, nil
}

// Document is the schemas of one group and version.
type Document struct {
	// Name is another one whenever the content is.
	Name string
	from openapi.GroupVersion
}

// Read fetches the document, which is OpenAPI 3 in JSON.
func (d Document) Read() ([]byte, error) {
	raw, err := d.from.Schema("application/json")
	if err != nil {
		return nil, fmt.Errorf("reading the schemas in %s: %w", d.Name, err)
	}
	return raw, nil
}

// Find returns the document of a group and version, as it was listed at or after a time; ok is false where
// there is none. It fetches the list of documents where the one at hand is older.
func (s *Schemas) Find(ctx context.Context, gv schema.GroupVersion, since time.Time) (document Document, ok bool, err error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.read.Before(since) || s.index == nil {
		if err := ctx.Err(); err != nil {
			return Document{}, false, err
		}
		began := time.Now()
		index, err := s.finder.OpenAPIV3().Paths()
		if err != nil {
			return Document{}, false, fmt.Errorf("listing schemas: %w", err)
		}
		s.index, s.read = index, began
	}
	path := "apis/" + gv.String()
	if gv.Group == "" {
		path = "api/" + gv.Version
	}
	from, found := s.index[path]
	if !found {
		return Document{}, false, nil
	}
	return Document{Name: from.ServerRelativeURL(), from: from}, true, nil
}
