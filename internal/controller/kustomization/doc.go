// Package kustomization serves Flux's Kustomization (kustomize.toolkit.fluxcd.io/v1): it turns the
// resource into a job for the line, and the line's outcome into status, events and the next wake-up.
//
// In: Kustomizations, the artifacts of their sources, the ConfigMaps and Secrets that they read, and
// wake-ups from observed objects. Out: status as Flux writes it. It decides nothing about objects:
// that is the pipeline's.
package kustomization
