package chart

import (
	"context"
	"errors"
	"fmt"
	"strings"

	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"holdfast.dev/holdfast/internal/model/fault"
)

// Restore makes the output of a release that Helm's storage has a record of. Of the input it uses Owner, CRDs,
// Secret and Namespaced; name, namespace and values are those of the record, which it does not change.
// Nothing is rendered: the objects are those that were released, also where templates are random.
func (r *Renderer) Restore(ctx context.Context, in Input, record *helmrelease.Release) (Output, error) {
	if record == nil || record.Chart == nil || record.Chart.Metadata == nil {
		return Output{}, fault.Stall(reasonRenderFailed, errors.New("reading release: its record has no chart"))
	}
	if err := ctx.Err(); err != nil {
		return Output{}, err
	}
	out, err := restore(in, record)
	if err != nil {
		err = fmt.Errorf("reading release %s/%s.v%d: %w", record.Namespace, record.Name, record.Version, err)
		return Output{}, fault.Because(reasonRenderFailed, masked(err, in.Secret))
	}
	return out, nil
}

func restore(in Input, record *helmrelease.Release) (Output, error) {
	in.Name, in.Namespace, in.Values, in.Revision = record.Name, record.Namespace, record.Config, record.Version
	copied := *record
	copied.Hooks, copied.Info = nil, &helmrelease.Info{}
	made := executed{crds: record.Chart.CRDObjects()}
	if record.Info != nil {
		made.notes = record.Info.Notes
	}
	documents, err := documentsOfRecord(record)
	if err != nil {
		return Output{}, err
	}
	out, err := finish(in, &copied, documents, made)
	if err != nil {
		return Output{}, err
	}
	out.Manifest, copied.Manifest = record.Manifest, record.Manifest
	return out, nil
}

const sourceComment = "# Source: "

// documentsOfRecord reads the manifest and the hooks of a record.
func documentsOfRecord(record *helmrelease.Release) ([]document, error) {
	var documents []document
	for _, part := range strings.Split("\n"+record.Manifest, "\n---\n") {
		source := "manifest"
		if line, rest, found := strings.Cut(strings.TrimLeft(part, "\n"), "\n"); found && strings.HasPrefix(line, sourceComment) {
			source, part = strings.TrimPrefix(line, sourceComment), rest
		}
		found, err := split(source, part)
		if err != nil {
			return nil, err
		}
		documents = append(documents, found...)
	}
	for _, hook := range record.Hooks {
		found, err := split(hook.Path, hook.Manifest)
		if err != nil {
			return nil, err
		}
		documents = append(documents, found...)
	}
	for i := range documents {
		documents[i].order = i
	}
	return documents, nil
}
