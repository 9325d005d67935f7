package check_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHostile: whatever a repository holds, a check ends soon, with a sentence.
func TestHostile(t *testing.T) {
	app := func(text string) string { return unit + "-- apps/kustomization.yaml --\n" + text }
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		last := fmt.Sprintf("*a%d, ", i-1)
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(last, 9), ", "))
	}
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
	cases := map[string]struct{ why, in, want string }{
		"Bomb":     {why: "anchors that multiply", in: unit + "-- apps/a.yaml --\n" + config + bomb, want: "error"},
		"Cycle":    {why: "kustomizations that contain each other", in: app("resources: [../other]\n") + "-- other/kustomization.yaml --\nresources: [../apps]\n", want: "cycle"},
		"Deep":     {why: "nesting without end", in: unit + "-- apps/a.yaml --\n" + config + "data: " + strings.Repeat("{a: ", 20000) + strings.Repeat("}", 20000) + "\n", want: "error"},
		"Remote":   {why: "a base at an internal address", in: app("resources: ['http://169.254.169.254/latest/meta-data']\n"), want: "169.254.169.254"},
		"Git":      {why: "a base in a repository elsewhere", in: app("resources: ['git@10.0.0.1:org/repo?ref=main']\n"), want: "error"},
		"Escape":   {why: "a path out of the tree", in: app("resources: [../../../../etc/passwd]\n"), want: "etc/passwd"},
		"Absolute": {why: "or to anywhere", in: app("resources: [/etc/passwd]\n"), want: "etc/passwd"},
		"Large":    {why: "an object of 10 MB", in: unit + "-- apps/a.yaml --\n" + config + "data:\n  a: " + strings.Repeat("x", 10<<20) + "\n", want: "of 2 units"},
		"Twice":    {why: "a field that is given twice, of which tools take the last", in: unit + "-- apps/a.yaml --\n" + config + "data: {a: x}\ndata: {b: y}\n", want: "already"},
		"Plugin":   {why: "a plugin, which is a program", in: app("generators: [gen.yaml]\n") + "-- apps/gen.yaml --\napiVersion: a/v1\nkind: G\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: /bin/sh}\n", want: "error"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			out, _ := run(t, folder(t, tc.in))
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%s: it took %s", tc.why, took)
			}
			if !strings.Contains(out, tc.want) {
				t.Errorf("%s: %.500s", tc.why, out)
			}
			for _, line := range strings.Split(out, "\n") {
				if len(line) > 4000 {
					t.Errorf("%s: a line has %d characters", tc.why, len(line))
				}
			}
		})
	}
}
