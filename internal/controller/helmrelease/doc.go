// Package helmrelease serves Flux's HelmRelease (helm.toolkit.fluxcd.io/v2): it turns the resource into a
// job for the line, and the line's outcome into status, events and the next wake-up.
//
// In: HelmReleases, the artifacts of their charts, the ConfigMaps and Secrets that hold their values, and
// wake-ups from observed objects. Out: status as Flux writes it, and HelmCharts for the templates of
// charts. It decides nothing about objects, and renders nothing: that is the line's.
package helmrelease
