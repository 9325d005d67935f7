package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// Facts are what is worth knowing of a file of resources. They depend on nothing but its content.
type Facts struct {
	Docs []Doc
	// Err says why the file holds no objects; the rest is empty then, except for what is set for a
	// file of another kind.
	Err error
	// Operations are set where the file is a JSON 6902 patch, and so Err is, too.
	Operations *Operations
	// Kustomization is set where the file was read as one. It must not be modified.
	Kustomization *types.Kustomization

	large int // memory of the kustomization
}

// Doc is a part of a file that can be built without the rest: a document, or the whole file
// where its documents belong together.
type Doc struct {
	Hash    string
	Objects []Object
	// Mentions are the hashes of all short strings in the document, sorted: whatever it refers to
	// by name is among them.
	Mentions []uint64
}

// Object is the identity of an object as its file has it.
type Object struct {
	Group, Version, Kind string
	Namespace, Name      string
	ClusterScoped        bool
}

// longestName is the length of the longest string that can be the name of an object.
const longestName = 253

// factBytes is a guess at the memory of the facts of one document without objects and mentions.
const factBytes = 256

func (f *Facts) bytes() int64 {
	total := factBytes + f.large
	for _, doc := range f.Docs {
		total += factBytes + len(doc.Objects)*128 + len(doc.Mentions)*8
	}
	return int64(total)
}

// Read parses a file as kustomize does and notes what it holds.
func Read(data []byte, limits Limits) *Facts {
	if err := BoundAliases(data, limits); err != nil {
		return &Facts{Err: err}
	}
	texts, err := Split(data)
	if err != nil {
		return &Facts{Err: err}
	}
	found := &Facts{}
	for _, text := range texts {
		doc, err := docFactOf([]byte(text), limits)
		if err != nil {
			return &Facts{Err: err, Operations: operationsOf(data, limits)}
		}
		if len(texts) > 1 && (len(doc.Objects) > 1 || isList(text)) {
			return wholeFacts(data, limits)
		}
		found.Docs = append(found.Docs, doc)
	}
	return found
}

// wholeFacts takes a file as one document. Kustomize expands a list in another way where it is alone
// in its file, so that a file of several documents with a list among them cannot be taken apart.
func wholeFacts(data []byte, limits Limits) *Facts {
	doc, err := docFactOf(data, limits)
	return &Facts{Docs: []Doc{doc}, Err: err}
}

func docFactOf(text []byte, limits Limits) (Doc, error) {
	parsed, err := Parse(text)
	if err != nil {
		return Doc{}, fmt.Errorf("decoding Kubernetes objects: %s", strings.TrimSpace(err.Error()))
	}
	doc := Doc{Hash: HashBytes(text), Objects: make([]Object, len(parsed))}
	mentions := map[uint64]bool{}
	for i, one := range parsed {
		doc.Objects[i] = ObjectOf(one)
		if err := noteMentions(one.YNode(), mentions, limits.Depth); err != nil {
			return Doc{}, err
		}
	}
	doc.Mentions = slices.Sorted(maps.Keys(mentions))
	return doc, nil
}

// isList tells whether a document has a kind that kustomize looks for items in.
func isList(text string) bool {
	if !strings.Contains(text, "List") {
		return false
	}
	var document kyaml.Node
	if err := kyaml.NewDecoder(strings.NewReader(text)).Decode(&document); err != nil || len(document.Content) == 0 {
		return true
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == "kind" {
			return fields[i+1].Kind != kyaml.ScalarNode || strings.HasSuffix(fields[i+1].Value, "List")
		}
	}
	return false
}

// ObjectOf returns the identity of a resource.
func ObjectOf(doc *resource.Resource) Object {
	id := doc.CurId()
	return Object{
		Group: id.Group, Version: id.Version, Kind: id.Kind,
		Namespace: id.Namespace, Name: id.Name, ClusterScoped: id.IsClusterScoped(),
	}
}

func noteMentions(node *kyaml.Node, into map[uint64]bool, depth int) error {
	if depth < 0 {
		return errTooDeep
	}
	if node.Kind == kyaml.ScalarNode && node.Value != "" && len(node.Value) <= longestName {
		into[HashName(node.Value)] = true
	}
	for _, child := range node.Content {
		if err := noteMentions(child, into, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// ReadKustomization parses a kustomization as kustomize does.
func ReadKustomization(data []byte) *Facts {
	kust := &types.Kustomization{}
	err := kust.Unmarshal(data)
	if err == nil {
		kust.FixKustomization()
		err = kust.CheckEmpty()
	}
	if err == nil && len(kust.EnforceFields()) > 0 {
		err = errors.New("kind or apiVersion is wrong")
	}
	return &Facts{Kustomization: kust, large: 4 * len(data), Err: err}
}
