package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"holdfast.dev/holdfast/internal/model/expression"
	"holdfast.dev/holdfast/internal/model/object"
)

// resources are what Receivers name.
type resources interface {
	// List returns the metadata of resources of a kind in a namespace: the one of that name, or all
	// with the labels where the name is empty. A named one that is missing is an error.
	List(ctx context.Context, ref object.Ref, labels map[string]string) ([]*metav1.PartialObjectMetadata, error)
	// Ask requests that a resource be reconciled. A stamp that differs from the last is a new request.
	Ask(ctx context.Context, ref object.Ref, stamp string) error
}

// atOnce bounds how many resources are asked at the same time for one call.
const atOnce = 8

// ask requests that all resources be reconciled that a Receiver names and its filters let through.
// One that cannot be asked does not keep the others from being asked.
func (h *Handler) ask(ctx context.Context, r *notificationv1.Receiver, given call) error {
	all, err := filterOf(r.Spec.ResourceFilter, given)
	if err != nil {
		return err
	}
	var chosen []object.Ref
	var failures []error
	for _, wanted := range r.Spec.Resources {
		found, err := h.choose(ctx, r, wanted, all, given)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s/%s: %w", wanted.Kind, wanted.Name, err))
		}
		chosen = append(chosen, found...)
	}
	return errors.Join(append(failures, h.askAll(ctx, r.Spec.Type, chosen)...)...)
}

func (h *Handler) askAll(ctx context.Context, kind string, chosen []object.Ref) []error {
	stamp := h.Now().UTC().Format(time.RFC3339Nano)
	failures := make([]error, len(chosen))
	slots := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, ref := range chosen {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			err := h.Resources.Ask(ctx, ref, stamp)
			h.Metrics.WebhookRequest(kind, err)
			if err != nil {
				failures[i] = fmt.Errorf("asking %s: %w", ref, err)
			}
		})
	}
	group.Wait()
	return failures
}

// choose returns the resources that one entry of a Receiver's list means.
func (h *Handler) choose(ctx context.Context, r *notificationv1.Receiver, wanted notificationv1.ReceiverResource, all filter, given call) ([]object.Ref, error) {
	ref, err := refOf(r.Namespace, wanted)
	if err != nil {
		return nil, err
	}
	if h.NoCrossNamespaceRefs && ref.Namespace != r.Namespace {
		return nil, errors.New("cross-namespace references have been blocked")
	}
	own, err := filterOf(wanted.Filter, given)
	if err != nil {
		return nil, err
	}
	if wanted.Name != "*" && all == nil && own == nil {
		return []object.Ref{ref}, nil
	}
	if wanted.Name == "*" {
		if len(wanted.MatchLabels) == 0 {
			return nil, errors.New("matchLabels must be set where the name is '*'")
		}
		ref.Name = ""
	}
	found, err := h.Resources.List(ctx, ref, wanted.MatchLabels)
	if err != nil {
		return nil, err
	}
	var chosen []object.Ref
	for _, one := range found {
		yes, err := all.and(ctx, own, one)
		if err != nil {
			return chosen, err
		}
		if yes {
			ref.Name = one.Name
			chosen = append(chosen, ref)
		}
	}
	return chosen, nil
}

// groups are the API groups of the kinds that a Receiver may name, with the version that is meant
// where it names none.
func groups() map[string]schema.GroupVersion {
	source := schema.GroupVersion{Group: "source.toolkit.fluxcd.io", Version: "v1"}
	image := schema.GroupVersion{Group: "image.toolkit.fluxcd.io", Version: "v1"}
	return map[string]schema.GroupVersion{
		"Bucket": source, "GitRepository": source, "HelmChart": source, "HelmRepository": source, "OCIRepository": source,
		"ExternalArtifact":  source,
		"ArtifactGenerator": {Group: "source.extensions.fluxcd.io", Version: "v1beta1"},
		"ImageRepository":   image, "ImagePolicy": image, "ImageUpdateAutomation": image,
		"Kustomization": {Group: "kustomize.toolkit.fluxcd.io", Version: "v1"},
		"HelmRelease":   {Group: "helm.toolkit.fluxcd.io", Version: "v2"},
	}
}

// refOf names what an entry of a Receiver's list means. Only Flux's kinds may be named: nothing else
// should ever be written to because of a webhook.
func refOf(namespace string, wanted notificationv1.ReceiverResource) (object.Ref, error) {
	version, known := groups()[wanted.Kind]
	if !known {
		return object.Ref{}, errors.New("receivers cannot ask resources of this kind")
	}
	if wanted.APIVersion != "" {
		named, err := schema.ParseGroupVersion(wanted.APIVersion)
		if err != nil || named.Group != version.Group {
			return object.Ref{}, fmt.Errorf("the kind is not in the group of %q", wanted.APIVersion)
		}
		version = named
	}
	if wanted.Namespace != "" {
		namespace = wanted.Namespace
	}
	for _, name := range []string{namespace, wanted.Name} {
		if len(content.IsPathSegmentName(name)) > 0 {
			return object.Ref{}, errors.New("this is no name of a resource")
		}
	}
	return object.Ref{Group: version.Group, Version: version.Version, Kind: wanted.Kind, Namespace: namespace, Name: wanted.Name}, nil
}

// filter tells whether a resource is meant. A nil filter means all.
type filter func(ctx context.Context, one *metav1.PartialObjectMetadata) (bool, error)

// and asks two filters.
func (f filter) and(ctx context.Context, other filter, one *metav1.PartialObjectMetadata) (bool, error) {
	for _, each := range []filter{f, other} {
		if each == nil {
			continue
		}
		if yes, err := each(ctx, one); err != nil || !yes {
			return false, err
		}
	}
	return true, nil
}

// filterVariables are the names that filters know.
func filterVariables() []string { return []string{"res", "req", "claims"} }

func filterOf(text string, given call) (filter, error) {
	if text == "" {
		return nil, nil
	}
	if given.unread != nil {
		return nil, given.unread
	}
	compiled, err := expression.Compile(text, expression.Options{Objects: filterVariables()})
	if err != nil {
		return nil, err
	}
	claims := given.claims
	if claims == nil {
		claims = map[string]any{}
	}
	return func(ctx context.Context, one *metav1.PartialObjectMetadata) (bool, error) {
		raw, err := json.Marshal(one)
		if err != nil {
			return false, fmt.Errorf("encoding %s: %w", one.Name, err)
		}
		resource := map[string]any{}
		if err := json.Unmarshal(raw, &resource); err != nil {
			return false, fmt.Errorf("decoding %s: %w", one.Name, err)
		}
		return compiled.Bool(ctx, map[string]any{"res": resource, "req": given.payload, "claims": claims})
	}, nil
}
