// Package image reads the image references of pods and pod controllers, as rules see them in {{ images }}.
//
// In: an object. Out: the parts of each reference, by container. It asks no registry.
package image
