package preview

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/render"
)

// lenient leaves what there is no key for as it is: a person rarely has the keys of all units.
type lenient struct{ render.Opener }

// Open implements render.Opener.
func (l lenient) Open(ctx context.Context, box sealed.Box) (sealed.Plain, error) {
	plain, err := l.Opener.Open(ctx, box)
	var told interface{ Keyless() bool }
	if errors.As(err, &told) && told.Keyless() {
		return sealed.Plain{Unopened: true}, nil
	}
	return plain, err
}

// hide puts placeholders where decrypted values are, also where variables took them. What is printed ends
// in logs.
func hide(units []Unit) error {
	var revealed []redact.Text
	for _, unit := range units {
		revealed = append(revealed, unit.revealed...)
	}
	if len(revealed) == 0 {
		return nil
	}
	mask := redact.NewMask(revealed)
	for i, unit := range units {
		var err error
		if units[i].Objects, err = hidden(unit.Objects, mask); err != nil {
			return err
		}
	}
	return nil
}

func hidden(objects []object.Object, mask redact.Mask) ([]object.Object, error) {
	shown := make([]object.Object, len(objects))
	for i, one := range objects {
		var content any
		if err := json.Unmarshal(one.JSON, &content); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", one.Ref, err)
		}
		raw, err := json.Marshal(masked(content, mask, one.Kind == "Secret"))
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", one.Ref, err)
		}
		shown[i] = one
		shown[i].JSON = raw
	}
	return shown, nil
}

// masked takes values out of all texts of an object. Those of a Secret are in base64, and stay so.
func masked(value any, mask redact.Mask, encoded bool) any {
	switch value := value.(type) {
	case map[string]any:
		for key, held := range value {
			value[key] = masked(held, mask, encoded)
		}
	case []any:
		for i, held := range value {
			value[i] = masked(held, mask, encoded)
		}
	case string:
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil && encoded {
			if out := mask.Out(string(raw)); out != string(raw) {
				return base64.StdEncoding.EncodeToString([]byte(out))
			}
		}
		return mask.Out(value)
	}
	return value
}
