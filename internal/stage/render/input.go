package render

import (
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/tree"
	"holdfast.dev/holdfast/internal/stage/render/confine"
)

// Opener opens what SOPS encrypted, with the keys of one unit. Its contract is with confine.Opener.
type Opener = confine.Opener

// Input is everything that a build reads; equal inputs give equal outputs.
type Input struct {
	// Owner is the unit that the objects will belong to; it becomes their owner labels.
	Owner object.Owner
	// Tree holds the files, and Path is the directory in it to build ("" is the root).
	Tree tree.Tree
	Path string

	// The fields below have the meaning of the Kustomization fields of the same name
	// (flux-contract 2.1).
	TargetNamespace         string
	NamePrefix, NameSuffix  string
	Patches                 []Patch
	Images                  []Image
	Components              []string
	IgnoreMissingComponents bool
	Labels, Annotations     map[string]string // commonMetadata
	BuildMetadata           []string

	Variables Variables

	// Opener decrypts what SOPS encrypted; nil decrypts nothing.
	Opener Opener `json:"-"`

	// KeepEncrypted lets objects pass that still carry SOPS data. It is for showing what a
	// repository delivers where the keys are not at hand; what it yields must not be applied.
	KeepEncrypted bool
}

// Patch is a strategic merge or JSON 6902 patch with an optional target.
type Patch struct {
	Patch  string
	Target *Selector
}

// Selector picks objects by regular expressions over their names and by label selectors.
type Selector struct {
	Group, Version, Kind, Namespace, Name string
	LabelSelector, AnnotationSelector     string
}

// Image replaces parts of an image reference.
type Image struct {
	Name, NewName, NewTag, Digest string
}

// Variables steer post-build substitution (flux-contract 2.7).
type Variables struct {
	// Enabled is false when the unit has no postBuild at all.
	Enabled bool
	// Always substitutes even when Values is empty (substituteStrategy Always).
	Always bool
	// Lenient makes an unset variable without default an empty string instead of an error.
	Lenient bool
	Values  map[string]string
	// Secret names the variables whose values come from Secrets: their values are masked in errors.
	Secret map[string]bool
}

// Output is what a build produced.
type Output struct {
	// Objects are normalised, labelled with their owner and sorted for writing. The slice is shared
	// with later renders: the caller must not modify it.
	Objects []object.Object
	// Fingerprint identifies Objects, "sha256:…": equal fingerprints mean equal desired state.
	Fingerprint string
	// Cached says that no file was built: everything that the last build read is unchanged.
	Cached bool
	// Revealed are the values that were decrypted for Objects: whoever tells of those takes them out of
	// what is told. The slice is shared, as Objects is.
	Revealed []redact.Text
}
