package kustomization

import (
	"context"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/pipeline"
	"holdfast.dev/holdfast/internal/stage/render"
)

// built renders by kustomize.
type built struct {
	renderer *render.Renderer
	input    render.Input
}

// Fingerprint implements pipeline.Rendering: only the objects tell, and making them costs little.
func (b built) Fingerprint() string { return "" }

// Render implements pipeline.Rendering.
func (b built) Render(ctx context.Context) (pipeline.Rendered, error) {
	output, err := b.renderer.Render(ctx, b.input)
	return pipeline.Rendered{Objects: output.Objects, Fingerprint: output.Fingerprint, Revealed: output.Revealed, Read: b.input.Tree.Read}, err
}

// Secrets implements pipeline.Rendering.
func (b built) Secrets() []redact.Text {
	var values []redact.Text
	variables := b.input.Variables
	for name, secret := range variables.Secret {
		if secret && variables.Values[name] != "" {
			values = append(values, redact.Text(variables.Values[name]))
		}
	}
	return values
}
