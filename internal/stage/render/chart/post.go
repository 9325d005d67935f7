package chart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"

	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
)

// keyDocument is an annotation by which a document is known again after kustomize; nobody else sees it.
const keyDocument = "holdfast.dev/document"

// postRender applies the post-renderers, then the metadata that all objects get.
func (r *Renderer) postRender(ctx context.Context, in Input, documents []document) ([]document, error) {
	streams, untouched, err := streamsOf(in.Strategy, documents)
	if err != nil {
		return nil, err
	}
	done := untouched
	for _, stream := range streams {
		for i, renderer := range in.PostRenderers {
			if stream, err = r.kustomized(ctx, renderer, stream); err != nil {
				return nil, fmt.Errorf("running post-renderer %d: %w", i+1, err)
			}
		}
		for _, one := range stream {
			dress(in, one.object)
		}
		done = append(done, stream...)
	}
	return done, nil
}

// streamsOf divides documents into what is changed together.
func streamsOf(strategy Strategy, documents []document) (streams [][]document, untouched []document, err error) {
	if strategy == Combined || strategy == "" {
		return [][]document{documents}, nil, nil
	}
	var hooks, objects []document
	for _, one := range documents {
		if one.isHook() {
			hooks = append(hooks, one)
			continue
		}
		objects = append(objects, one)
	}
	switch strategy {
	case NoHooks:
		return [][]document{objects}, hooks, nil
	case Separate:
		return [][]document{hooks, objects}, nil, nil
	default:
		return nil, nil, fmt.Errorf("unknown post-render strategy: '%s'", strategy)
	}
}

// dress puts common metadata and the owner's labels on an object.
func dress(in Input, u *unstructured.Unstructured) {
	if len(in.Annotations) > 0 {
		u.SetAnnotations(with(u.GetAnnotations(), in.Annotations))
	}
	u.SetLabels(with(with(u.GetLabels(), in.Labels), ownerLabels(in)))
}

func ownerLabels(in Input) map[string]string {
	return map[string]string{LabelName: in.Owner.Name, LabelNamespace: in.Owner.Namespace}
}

func with(base, more map[string]string) map[string]string {
	if base == nil {
		base = make(map[string]string, len(more))
	}
	maps.Copy(base, more)
	return base
}

// kustomized runs kustomize on documents, which it may change.
func (r *Renderer) kustomized(ctx context.Context, renderer PostRenderer, documents []document) ([]document, error) {
	if len(documents) == 0 || len(renderer.Patches)+len(renderer.Images) == 0 {
		return documents, nil
	}
	var stream bytes.Buffer
	for i, one := range documents {
		one.object.SetAnnotations(with(one.object.GetAnnotations(), map[string]string{keyDocument: strconv.Itoa(i)}))
		text, err := goyaml.Marshal(one.object.Object)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", one.source, err)
		}
		stream.WriteString("---\n")
		stream.Write(text)
	}
	result, err := r.builder.Full(ctx, newStream(stream.Bytes()), specOf(renderer))
	if err != nil {
		return nil, err
	}
	changed := make([]document, 0, len(result.Objects))
	for i, built := range result.Objects {
		objects, err := parse(string(built.YAML))
		if err != nil {
			return nil, fmt.Errorf("reading %s/%s: %w", built.Kind, built.Name, err)
		}
		for _, object := range objects {
			one := document{source: "generated-by-postrender.yaml", order: maxDocuments + i, object: object}
			annotations := object.GetAnnotations()
			if from, err := strconv.Atoi(annotations[keyDocument]); err == nil && from >= 0 && from < len(documents) {
				one.source, one.order = documents[from].source, documents[from].order
			}
			delete(annotations, keyDocument)
			if len(annotations) == 0 {
				annotations = nil
			}
			object.SetAnnotations(annotations)
			changed = append(changed, one)
		}
	}
	return changed, nil
}

func specOf(renderer PostRenderer) kustomize.Spec {
	var spec kustomize.Spec
	for _, patch := range renderer.Patches {
		wanted := types.Patch{Patch: patch.Patch}
		if at := patch.Target; at != nil {
			wanted.Target = &types.Selector{
				ResId: resid.ResId{
					Gvk:  resid.Gvk{Group: at.Group, Version: at.Version, Kind: at.Kind},
					Name: at.Name, Namespace: at.Namespace,
				},
				LabelSelector: at.LabelSelector, AnnotationSelector: at.AnnotationSelector,
			}
		}
		spec.Patches = append(spec.Patches, wanted)
	}
	for _, image := range renderer.Images {
		spec.Images = append(spec.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	return spec
}

// stream is a tree of what the templates made and the kustomization that takes it in.
type stream struct {
	index *tree.Index
	files map[string][]byte
	hash  string
}

const (
	streamFile        = "helm-output.yaml"
	streamEntry       = "kustomization.yaml"
	streamEntryHeader = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + streamFile + "]\n"
)

func newStream(content []byte) *stream {
	s := &stream{files: map[string][]byte{streamFile: content, streamEntry: []byte(streamEntryHeader)}}
	entries := make([]tree.Entry, 0, len(s.files))
	for name, data := range s.files {
		sum := sha256.Sum256(data)
		hash := "sha256:" + hex.EncodeToString(sum[:])
		entries = append(entries, tree.Entry{Path: name, Hash: hash, Size: int64(len(data)), Mode: 0o644})
		if name == streamFile {
			s.hash = hash
		}
	}
	s.index = tree.NewIndex(entries)
	return s
}

func (s *stream) Revision() string   { return s.hash }
func (s *stream) Digest() string     { return s.hash }
func (s *stream) Index() *tree.Index { return s.index }

func (s *stream) Read(name string) ([]byte, error) {
	data, found := s.files[tree.Clean(name)]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}
