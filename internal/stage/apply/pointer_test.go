package apply

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPointer(t *testing.T) {
	const whole = `{"a":{"b":[{"c":1},{"c":2}],"d":null}}`
	cases := map[string]struct {
		why, path               string
		wantValue               string // "" is not there
		wantReplaced, wantShort string // whole, with the value replaced by "x", and removed
	}{
		"Key":      {why: "a plain key", path: "a/d", wantValue: "null", wantReplaced: `{"a":{"b":[{"c":1},{"c":2}],"d":"x"}}`, wantShort: `{"a":{"b":[{"c":1},{"c":2}]}}`},
		"Item":     {why: "an item of a list", path: "a/b/0", wantValue: `{"c":1}`, wantReplaced: `{"a":{"b":["x",{"c":2}],"d":null}}`, wantShort: `{"a":{"b":[{"c":2}],"d":null}}`},
		"InItem":   {why: "a key of an item", path: "a/b/1/c", wantValue: "2", wantReplaced: `{"a":{"b":[{"c":1},{"c":"x"}],"d":null}}`, wantShort: `{"a":{"b":[{"c":1},{}],"d":null}}`},
		"Beyond":   {why: "behind the end", path: "a/b/2", wantReplaced: whole, wantShort: whole},
		"Negative": {why: "no position", path: "a/b/-1", wantReplaced: whole, wantShort: whole},
		"Append":   {why: "the pointer's word for behind the end", path: "a/b/-", wantReplaced: whole, wantShort: whole},
		"Through":  {why: "a value has nothing in it", path: "a/d/e", wantReplaced: whole, wantShort: whole},
		"Nowhere":  {why: "a parent that is not there is not made", path: "x/y", wantReplaced: whole, wantShort: whole},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := strings.Split(tc.path, "/")
			text := func(change func(map[string]any)) string {
				var root map[string]any
				if err := json.Unmarshal([]byte(whole), &root); err != nil {
					t.Fatal(err)
				}
				change(root)
				raw, _ := json.Marshal(root)
				return string(raw)
			}
			text(func(root map[string]any) {
				value, found := lookUp(root, path)
				raw, _ := json.Marshal(value)
				if found != (tc.wantValue != "") || found && string(raw) != tc.wantValue {
					t.Errorf("%s: looked up %s, %v", tc.why, raw, found)
				}
			})
			if got := text(func(root map[string]any) { replace(root, path, "x") }); got != tc.wantReplaced {
				t.Errorf("%s: replaced: %s", tc.why, got)
			}
			if got := text(func(root map[string]any) { remove(root, path) }); got != tc.wantShort {
				t.Errorf("%s: removed: %s", tc.why, got)
			}
		})
	}
}

func FuzzPointer(f *testing.F) {
	f.Add(`{"a":[1,{"b":2}]}`, "/a/1/b")
	f.Add(`{"":{"":[]}}`, "//")
	f.Fuzz(func(_ *testing.T, text, pointer string) {
		rule, err := NewIgnore([]string{pointer}, Target{})
		var root map[string]any
		if err != nil || json.Unmarshal([]byte(text), &root) != nil || root == nil {
			return
		}
		path := rule.paths[0]
		value, found := lookUp(root, path)
		owns(map[string]any{"f:a": map[string]any{}}, root, path)
		if found {
			replace(root, path, value)
		}
		remove(root, path)
	})
}
