package render

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/render/confine"
	"holdfast.dev/holdfast/internal/stage/render/kustomize"
	"holdfast.dev/holdfast/internal/stage/render/manifest"
)

// unsealer decrypts the objects of one build: those that SOPS encrypted as a whole, and the files in the
// values of Secrets.
//
// SOPS's own check of integrity covers a file as it was written, and kustomize has changed the objects by
// now. So what is checked is the file that an object came from, as it stands in the tree: the MAC is
// unlike any other text and goes through kustomize as it is, and tells which file that is.
type unsealer struct {
	input  Input
	limits manifest.Limits
	trace  *confine.Trace
	intact map[string]bool // files that were found to be as SOPS left them, in this render
	files  func() map[string][]string
}

func newUnsealer(input Input, trace *confine.Trace) *unsealer {
	u := &unsealer{input: input, limits: manifest.Limits{}.WithDefaults(), trace: trace, intact: map[string]bool{}}
	u.files = sync.OnceValue(u.sealedFiles)
	return u
}

// object returns the text of an object, decrypted where that was asked for, and the values that were.
func (u *unsealer) object(ctx context.Context, built *kustomize.Built) ([]byte, []redact.Text, error) {
	secret := strings.EqualFold(built.Kind, "Secret")
	if u.input.Opener == nil || !secret && !sealed.HoldsValues(built.YAML) || decryptOff(built.Annotations) || decryptOff(built.Labels) {
		return built.YAML, nil, nil
	}
	var content map[string]any
	if err := yaml.Unmarshal(built.YAML, &content); err != nil {
		return built.YAML, nil, nil //nolint:nilerr // what is no object is refused in its turn
	}
	metadata, _ := content["sops"].(map[string]any)
	if mac, _ := metadata["mac"].(string); mac != "" {
		return u.whole(ctx, built, mac)
	}
	if !secret {
		return built.YAML, nil, nil
	}
	return u.payloads(ctx, built, content)
}

// whole decrypts an object that is a file of SOPS.
func (u *unsealer) whole(ctx context.Context, built *kustomize.Built, mac string) ([]byte, []redact.Text, error) {
	if strings.HasPrefix(built.Kind, sealed.Value) || strings.HasPrefix(built.Name, sealed.Value) {
		return nil, nil, fmt.Errorf("%s: SOPS encrypted even its kind or its name: encrypt it anew with encrypted_regex ^(data|stringData)$ in .sops.yaml",
			described(&kustomize.Built{Kind: "of a SOPS file", Source: built.Source}))
	}
	box := sealed.Box{
		Path: built.Source, Part: "object " + built.Kind + "/" + built.Name,
		Data: built.YAML, In: sealed.YAML, Out: sealed.YAML,
	}
	var plain sealed.Plain
	var err error
	done := false
	originals := u.originals(built, mac)
	for _, file := range originals {
		if u.intact[file] {
			box.Path, box.Changed = file, true
			continue
		}
		data, err := u.input.Tree.Read(file)
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", file, err)
		}
		format, _ := sealed.Sniff(data)
		box.Path, box.Original, box.OriginalFormat, box.Changed = file, data, format, true
		if plain, err = u.open(ctx, box); err != nil || plain.Unopened {
			return built.YAML, nil, err
		}
		box.Original, u.intact[file], done = nil, true, true
	}
	if !done {
		plain, err = u.open(ctx, box)
	}
	if err != nil || plain.Unopened {
		return built.YAML, nil, err
	}
	return plain.Data.Reveal(), revealedBy(plain), nil
}

// originals returns the files of the tree that an object with a MAC can have come from.
func (u *unsealer) originals(built *kustomize.Built, mac string) []string {
	if built.Sure {
		if data, err := u.input.Tree.Read(built.Source); err == nil && slices.Contains(sealed.MACs(data), mac) {
			return []string{built.Source}
		}
	}
	return u.files()[mac]
}

// sealedFiles finds the encrypted files among all that the build read, by their MACs.
func (u *unsealer) sealedFiles() map[string][]string {
	found := map[string][]string{}
	if u.trace == nil {
		return found
	}
	paths := u.trace.Files()
	slices.Sort(paths)
	for _, file := range paths {
		entry, there := u.input.Tree.Index().Find(file)
		if !there || entry.Size > u.limits.FileBytes {
			continue
		}
		data, err := u.input.Tree.Read(file)
		if err != nil || !sealed.HoldsValues(data) {
			continue
		}
		if _, whole := sealed.Sniff(data); !whole {
			continue
		}
		for _, mac := range sealed.MACs(data) {
			if !slices.Contains(found[mac], file) {
				found[mac] = append(found[mac], file)
			}
		}
	}
	return found
}

// payloads decrypts the values of a Secret that are files of SOPS. Their integrity is their own:
// kustomize does not look into them.
func (u *unsealer) payloads(ctx context.Context, built *kustomize.Built, content map[string]any) ([]byte, []redact.Text, error) {
	var revealed []redact.Text
	changed := false
	for _, field := range []string{"data", "stringData"} {
		held, _ := content[field].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(held)) {
			raw, encoded := valueOf(field, held[key])
			format, whole := sealed.Sniff(raw)
			if !whole {
				continue
			}
			plain, err := u.open(ctx, sealed.Box{
				Path: built.Source, Part: fmt.Sprintf("key %s of %s/%s", key, built.Kind, built.Name),
				Data: raw, In: format, Out: sealed.FormatOf(key),
			})
			switch {
			case err != nil:
				return nil, revealed, err
			case plain.Unopened:
				continue
			}
			revealed, changed = append(revealed, revealedBy(plain)...), true
			held[key] = string(plain.Data.Reveal())
			if encoded {
				held[key] = base64.StdEncoding.EncodeToString(plain.Data.Reveal())
			}
		}
	}
	if !changed {
		return built.YAML, nil, nil
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return nil, revealed, fmt.Errorf("%s: writing what was decrypted", described(built))
	}
	return text, revealed, nil
}

// valueOf returns a value of a Secret, and whether it is kept in base64. What is no text is nothing.
func valueOf(field string, value any) (raw []byte, encoded bool) {
	text, _ := value.(string)
	if field != "data" {
		return []byte(text), false
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, true // the build says so in its turn
	}
	return raw, true
}

func (u *unsealer) open(ctx context.Context, box sealed.Box) (sealed.Plain, error) {
	for _, data := range [][]byte{box.Data, box.Original} {
		if err := manifest.BoundAliases(data, u.limits); err != nil {
			return sealed.Plain{}, fmt.Errorf("decrypting %s: %w", box.Path, err)
		}
	}
	return u.input.Opener.Open(ctx, box)
}

// revealedBy returns the values of a box in the forms in which they are met: a Secret has its in base64.
func revealedBy(plain sealed.Plain) []redact.Text {
	revealed := plain.Values
	for _, value := range plain.Values {
		if raw, err := base64.StdEncoding.DecodeString(value.Reveal()); err == nil && len(raw) > 0 {
			revealed = append(revealed, redact.Text(raw))
		}
	}
	return revealed
}

func decryptOff(set map[string]string) bool { return strings.EqualFold(set[keyDecrypt], "disabled") }

// stillSealed tells whether a Secret has a value that SOPS encrypted, without what opens it.
func stillSealed(u *unstructured.Unstructured) bool {
	for _, field := range []string{"data", "stringData"} {
		held, _ := u.Object[field].(map[string]any)
		for _, value := range held {
			raw, _ := valueOf(field, value)
			if strings.HasPrefix(string(raw), sealed.Value) || sealed.Torn(raw) {
				return true
			}
			if text, _ := value.(string); strings.HasPrefix(text, sealed.Value) {
				return true
			}
		}
	}
	return false
}
