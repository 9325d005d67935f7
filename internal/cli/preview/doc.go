// Package preview builds what a tree would deliver, without a cluster: it follows Flux Kustomizations
// into their paths as the controller does, substitutes variables that the tree itself holds, and renders the
// Helm releases whose charts are there.
//
// In: a tree, where to start in it, and the trees of other sources if they are at hand. Out: units
// with their objects, in the order of delivery, and findings about what could not be built. One bad
// unit does not stop the others. It writes nothing and reaches nothing but the trees.
package preview
