package apply

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func decode(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const shop = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  namespace: web
  labels: {team: blue}
  annotations: {scaled: "yes"}
`

func TestIgnoreTarget(t *testing.T) {
	cases := map[string]struct {
		why    string
		target Target
		want   bool
	}{
		"Everything":    {why: "an empty target", want: true},
		"Kind":          {why: "by kind", target: Target{Group: "apps", Version: "v1", Kind: "Deployment"}, want: true},
		"Pattern":       {why: "by pattern", target: Target{Name: "sh.*", Namespace: "w(e|i)b"}, want: true},
		"PartOfName":    {why: "a pattern must match the whole value", target: Target{Name: "sho"}},
		"Alternative":   {why: "and so must each of its branches", target: Target{Name: "x|sh"}},
		"Label":         {why: "by label", target: Target{LabelSelector: "team in (blue,red)"}, want: true},
		"OtherLabel":    {why: "by a label that it does not have", target: Target{LabelSelector: "team=red"}},
		"Annotation":    {why: "by annotation", target: Target{AnnotationSelector: "scaled=yes"}, want: true},
		"NotAnnotation": {why: "by an annotation that it must not have", target: Target{AnnotationSelector: "!scaled"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rule, err := NewIgnore([]string{"/spec"}, tc.target)
			if err != nil {
				t.Fatal(err)
			}
			if got := rule.target.matches(decode(t, shop)); got != tc.want {
				t.Errorf("%s: %v", tc.why, got)
			}
		})
	}
}

func TestIgnoreMistakes(t *testing.T) {
	cases := map[string]struct {
		why, pointer, wantText string
		target                 Target
	}{
		"NoSlash":    {why: "a pointer begins with a slash", pointer: "spec/replicas", wantText: `"spec/replicas" is not a JSON pointer`},
		"Empty":      {why: "the whole object is not a field", pointer: "", wantText: "is not a JSON pointer"},
		"Regex":      {why: "the part is named", pointer: "/a", target: Target{Name: "["}, wantText: `"[" is not a regular expression`},
		"Labels":     {why: "the part is named", pointer: "/a", target: Target{LabelSelector: "a=b=c"}, wantText: "label selector"},
		"Annotation": {why: "the part is named", pointer: "/a", target: Target{AnnotationSelector: "=="}, wantText: "annotation selector"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := NewIgnore([]string{tc.pointer}, tc.target)
			if err == nil || !strings.Contains(err.Error(), tc.wantText) {
				t.Errorf("%s: %v", tc.why, err)
			}
		})
	}
	rule, err := NewIgnore([]string{"/metadata/annotations/example.org~1note~0"}, Target{})
	if err != nil || rule.paths[0][2] != "example.org/note~" {
		t.Errorf("an escaped pointer: %q, %v", rule.paths, err)
	}
}

func TestOwns(t *testing.T) {
	const fields = `{"f:spec":{"f:replicas":{},"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:image":{}}},
		"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{"f:name":{}}},"f:args":{"v:\"-x\"":{}},"f:selector":{}}}`
	live := decode(t, `spec: {replicas: 2, paused: true, containers: [{name: side, image: s}, {name: main, image: m, tty: true}],
  ports: [{port: 80, protocol: TCP, name: web}], args: ["-y", "-x"], selector: {app: web}}`)
	cases := map[string]struct {
		why, path string
		want      bool
	}{
		"Ours":         {why: "a leaf of ours", path: "spec/replicas", want: true},
		"Others":       {why: "a leaf that is not in our entry", path: "spec/paused"},
		"Item":         {why: "an item is found by its key, not its position", path: "spec/containers/1/image", want: true},
		"OthersItem":   {why: "another one's item", path: "spec/containers/0/image"},
		"OthersInItem": {why: "another one's field in an item of ours", path: "spec/containers/1/tty"},
		"TwoKeys":      {why: "keys of numbers and texts", path: "spec/ports/0/name", want: true},
		"Value":        {why: "an item of a set", path: "spec/args/1", want: true},
		"OthersValue":  {why: "another one's item of a set", path: "spec/args/0"},
		"Atomic":       {why: "whoever owns an atomic value owns all in it", path: "spec/selector/app", want: true},
		"Beyond":       {why: "an item that is not there", path: "spec/args/7"},
		"Through":      {why: "a value has nothing in it", path: "spec/paused/x"},
	}
	var set map[string]any
	if err := json.Unmarshal([]byte(fields), &set); err != nil {
		t.Fatal(err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := owns(set, live.Object, strings.Split(tc.path, "/")); got != tc.want {
				t.Errorf("%s: %v", tc.why, got)
			}
		})
	}
}
