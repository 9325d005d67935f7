package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/ssa/normalize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
	"holdfast.dev/holdfast/internal/stage/render/substitute"
)

// finisher turns built resources into objects: it substitutes variables, labels, and normalises. It
// is immutable.
type finisher struct {
	input      Input
	substitute bool
	variables  substitute.Variables
	secrets    []string // values that must not be seen, the longest first
}

func newFinisher(input Input) (*finisher, error) {
	f := &finisher{input: input, substitute: input.Variables.Enabled && (len(input.Variables.Values) > 0 || input.Variables.Always)}
	for name := range input.Variables.Secret {
		value := input.Variables.Values[name]
		for _, form := range []string{value, strings.ReplaceAll(value, "\n", "")} {
			if form != "" {
				f.secrets = append(f.secrets, form)
			}
		}
	}
	slices.SortFunc(f.secrets, func(a, b string) int { return len(b) - len(a) })
	var err error
	f.variables, err = substitute.New(input.Variables.Values, input.Variables.Lenient)
	if err != nil && !f.substitute {
		err = nil // nobody looks at them
	}
	return f, err
}

// polish identifies everything that finishing depends on beyond the built resource.
func (f *finisher) polish() string {
	return digestOf(Input{
		Labels: f.input.Labels, Annotations: f.input.Annotations, Variables: f.input.Variables,
		KeepEncrypted: f.input.KeepEncrypted, Opener: f.input.Opener,
	}) + f.input.Owner.String()
}

// all finishes resources. What was finished before with the same settings is taken over as it is.
func (f *finisher) all(ctx context.Context, built []*kustomize.Built, known, next *outcome) ([]object.Object, []redact.Text, error) {
	next.polish = f.polish()
	next.finished = make(map[*kustomize.Built]finished, len(built))
	unseal := newUnsealer(f.input, next.trace)
	var before map[*kustomize.Built]finished
	var revealed []redact.Text
	if known != nil && known.polish == next.polish {
		before = known.finished
	}
	objects := make([]object.Object, 0, len(built))
	for _, one := range built {
		ready, done := before[one]
		if !done {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			var err error
			if ready, err = f.finish(ctx, one, unseal); err != nil {
				next.revealed = append(next.revealed, ready.revealed...)
				return nil, nil, err
			}
		}
		next.finished[one] = ready
		objects, revealed = append(objects, ready.objects...), append(revealed, ready.revealed...)
	}
	return objects, revealed, nil
}

// finish decrypts a resource and finishes it.
func (f *finisher) finish(ctx context.Context, built *kustomize.Built, unseal *unsealer) (finished, error) {
	text, revealed, err := unseal.object(ctx, built)
	if err != nil {
		return finished{revealed: revealed}, err // it names object and file by itself
	}
	objects, err := f.one(built, text)
	if err != nil {
		err = fmt.Errorf("%s: %w", described(built), err)
	}
	return finished{objects, revealed}, err
}

func described(built *kustomize.Built) string {
	text := "object " + built.Kind + "/" + built.Name
	if built.Source != "" {
		text += " in " + built.Source
	}
	return text
}

// one finishes a resource. A list yields its items, and what is no Kubernetes object yields nothing.
func (f *finisher) one(built *kustomize.Built, text []byte) ([]object.Object, error) {
	decoded, err := f.decode(built, text)
	if err != nil {
		return nil, err
	}
	items := []*unstructured.Unstructured{decoded}
	if decoded.IsList() {
		items = items[:0]
		err := decoded.EachListItem(func(item runtime.Object) error {
			items = append(items, item.(*unstructured.Unstructured)) //nolint:forcetypeassert // EachListItem passes nothing else
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("expanding list: %w", err)
		}
	} else if !isObject(decoded) {
		return nil, nil
	}
	objects := make([]object.Object, len(items))
	for i, item := range items {
		written := item.Object
		if err := f.dress(item); err != nil {
			return nil, err
		}
		if objects[i], err = object.New(item, built.Source); err != nil {
			return nil, err
		}
		objects[i].Dropped = object.Dropped(written, item.Object)
	}
	return objects, nil
}

func isObject(u *unstructured.Unstructured) bool {
	configuration := strings.EqualFold(u.GetKind(), "kustomization") &&
		strings.HasPrefix(u.GetAPIVersion(), "kustomize.config.k8s.io/")
	return u.GetName() != "" && u.GetKind() != "" && u.GetAPIVersion() != "" && !configuration
}

// valueSubstituteOff keeps variables as they are. Unlike other values it is compared exactly.
const valueSubstituteOff = "disabled"

func (f *finisher) decode(built *kustomize.Built, text []byte) (*unstructured.Unstructured, error) {
	substituted := false
	off := built.Labels[object.KeySubstitute] == valueSubstituteOff || built.Annotations[object.KeySubstitute] == valueSubstituteOff
	if f.substitute && !off && substitute.Concerns(text) {
		replaced, err := f.variables.In(string(text))
		if err != nil {
			return nil, err
		}
		text, substituted = []byte(replaced), true
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, unreadable(err, substituted)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, unreadable(err, substituted)
	}
	return u, nil
}

var lineNumber = regexp.MustCompile(`line \d+`)

// unreadable describes text that is no object. Where values were put into the text, the parser's
// own words could quote them.
func unreadable(err error, substituted bool) error { //nolint:revive // substituted is something known of the text
	if !substituted {
		return fmt.Errorf("reading built object: %w", err)
	}
	where := ""
	if line := lineNumber.FindString(err.Error()); line != "" {
		where = " (" + line + " of the built object)"
	}
	return errors.New("variables make the object invalid YAML" + where + ": a value may need quotes")
}

// dress gives an object its labels and its normal form, in Flux's order.
func (f *finisher) dress(u *unstructured.Unstructured) error {
	if !f.input.KeepEncrypted {
		// Normalising drops fields that a built-in kind does not have, and SOPS's own is one.
		if err := refuseEncrypted(u); err != nil {
			return err
		}
	}
	setLabels(u, map[string]string{object.LabelOwnerName: f.input.Owner.Name, object.LabelOwnerNS: f.input.Owner.Namespace})
	if err := normalize.UnstructuredList([]*unstructured.Unstructured{u}); err != nil {
		return fmt.Errorf("normalising: %w", err)
	}
	if len(f.input.Labels) > 0 {
		labels := maps.Clone(f.input.Labels)
		delete(labels, object.LabelOwnerName)
		delete(labels, object.LabelOwnerNS)
		setLabels(u, labels)
	}
	if len(f.input.Annotations) > 0 {
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		maps.Copy(annotations, f.input.Annotations)
		u.SetAnnotations(annotations)
	}
	if f.input.KeepEncrypted {
		return nil
	}
	return refuseEncrypted(u)
}

func setLabels(u *unstructured.Unstructured, set map[string]string) {
	labels := u.GetLabels()
	if labels == nil {
		labels = make(map[string]string, len(set))
	}
	maps.Copy(labels, set)
	u.SetLabels(labels)
}

// mask takes the values of secret variables, and those that were decrypted, out of an error's text. The
// chain stays as it is where there is nothing to hide.
func (f *finisher) mask(err error, revealed []redact.Text) error {
	text := err.Error()
	for _, secret := range f.secrets {
		text = strings.ReplaceAll(text, secret, redact.Placeholder)
	}
	text = redact.Out(text, revealed)
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
