package render_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/stage/render"
)

const benchObjects = 1000

func deployment(name, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  labels: {app: %[1]s}
spec:
  replicas: 2
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: main
        image: %[2]s
        ports: [{name: http, containerPort: 8080}]
        env:
        - {name: LOG_LEVEL, value: info}
        resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 64Mi}}
        volumeMounts: [{name: config, mountPath: /etc/app}]
      volumes:
      - name: config
        configMap: {name: %[1]s}
`, name, image)
}

// manifestOf gives every second object the shape of a Deployment.
func manifestOf(i, version int) string {
	name := fmt.Sprintf("app-%04d", i)
	if i%2 == 0 {
		return deployment(name, fmt.Sprintf("registry.example.org/app:v%d", version))
	}
	return configMap(name, fmt.Sprintf("\"%d for ${CLUSTER}\"", version))
}

// layout is a way to arrange many objects.
type layout struct {
	files map[string]string
	input render.Input
	// touch returns a change of one object.
	touch func(version int) map[string]string
}

// manyFiles makes the same objects in three arrangements: a file each, a file each in bases below a
// distribution below a cluster, and a few large files.
func manyFiles() (plain, overlay, big map[string]string) {
	plain, overlay, big = map[string]string{}, map[string]string{}, map[string]string{}
	for i := range benchObjects {
		plain[fmt.Sprintf("apps/f%04d.yaml", i)] = manifestOf(i, 1)
		overlay[fmt.Sprintf("bases/app-%02d/f%04d.yaml", i/20, i)] = manifestOf(i, 1)
	}
	for i := range benchObjects / 20 {
		list := ""
		for j := range 20 {
			list += fmt.Sprintf("- f%04d.yaml\n", i*20+j)
		}
		overlay[fmt.Sprintf("bases/app-%02d/kustomization.yaml", i)] = "resources:\n" + list
		overlay["distributions/all/kustomization.yaml"] += fmt.Sprintf("- ../../bases/app-%02d\n", i)
	}
	overlay["distributions/all/kustomization.yaml"] = "resources:\n" + overlay["distributions/all/kustomization.yaml"] +
		"labels: [{pairs: {distribution: all}}]\n"
	overlay["clusters/dev/kustomization.yaml"] = `resources: [../../distributions/all]
namespace: apps
images: [{name: registry.example.org/app, newTag: v7}]
commonAnnotations: {cluster: dev}
patches:
- path: scale.yaml
- target: {kind: Deployment}
  patch: |
    - {op: add, path: /spec/template/metadata/annotations, value: {patched: "yes"}}
`
	overlay["clusters/dev/scale.yaml"] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app-0002}\nspec: {replicas: 9}\n"
	for i := range 4 {
		for j := range benchObjects / 4 {
			big[fmt.Sprintf("apps/part%d.yaml", i)] += manifestOf(i*benchObjects/4+j, 1) + "---\n"
		}
	}
	return plain, overlay, big
}

func layouts() map[string]layout {
	plain, overlay, big := manyFiles()
	variables := render.Variables{Enabled: true, Values: map[string]string{"CLUSTER": "dev"}}
	return map[string]layout{
		"Files": {
			files: plain, input: render.Input{Path: "apps", Variables: variables},
			touch: func(v int) map[string]string { return map[string]string{"apps/f0500.yaml": manifestOf(500, v)} },
		},
		"FilesInNamespace": {
			files: plain, input: render.Input{Path: "apps", TargetNamespace: "apps", Variables: variables, Labels: map[string]string{"a": "b"}},
			touch: func(v int) map[string]string { return map[string]string{"apps/f0500.yaml": manifestOf(500, v)} },
		},
		"Overlays": {
			files: overlay, input: render.Input{Path: "clusters/dev", Variables: variables},
			touch: func(v int) map[string]string {
				return map[string]string{"bases/app-25/f0500.yaml": manifestOf(500, v)}
			},
		},
		"FewFiles": {
			files: big, input: render.Input{Path: "apps", Variables: variables},
			touch: func(v int) map[string]string {
				text := ""
				for j := range benchObjects / 4 {
					version := 1
					if j == 100 {
						version = v
					}
					text += manifestOf(500+j, version) + "---\n"
				}
				return map[string]string{"apps/part2.yaml": text}
			},
		},
	}
}

func mustRender(b *testing.B, renderer *render.Renderer, input render.Input, objects int) render.Output {
	b.Helper()
	output, err := renderer.Render(context.Background(), input)
	if err != nil || len(output.Objects) != objects {
		b.Fatalf("%d objects, error %v", len(output.Objects), err)
	}
	return output
}

// cpuTime reports the processor time of a benchmark's loop, which says more than the clock does on
// a machine that others use, too. Call the result when the loop has ended.
func cpuTime(b *testing.B) func() {
	b.Helper()
	now := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := now()
	return func() { b.ReportMetric(float64((now()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op") }
}

// BenchmarkFirst renders 1,000 objects from nothing.
func BenchmarkFirst(b *testing.B) {
	for name, l := range layouts() {
		b.Run(name, func(b *testing.B) {
			l.input.Owner, l.input.Tree = owner, treeOf(l.files)
			report := cpuTime(b)
			for b.Loop() {
				mustRender(b, render.New(render.Options{}), l.input, benchObjects)
			}
			report()
		})
	}
}

// BenchmarkOneChange renders 1,000 objects again after a change of one of them.
func BenchmarkOneChange(b *testing.B) {
	for name, l := range layouts() {
		b.Run(name, func(b *testing.B) {
			before := treeOf(l.files)
			trees := []memTree{before, before.with(l.touch(2))}
			renderer := render.New(render.Options{})
			l.input.Owner, l.input.Tree = owner, before
			mustRender(b, renderer, l.input, benchObjects)
			report := cpuTime(b)
			for i := 1; b.Loop(); i++ {
				l.input.Tree = trees[i%2]
				mustRender(b, renderer, l.input, benchObjects)
			}
			report()
		})
	}
}

// BenchmarkUnchanged renders 1,000 objects again on a tree in which only another file changed.
func BenchmarkUnchanged(b *testing.B) {
	for name, l := range layouts() {
		b.Run(name, func(b *testing.B) {
			renderer := render.New(render.Options{})
			l.input.Owner, l.input.Tree = owner, treeOf(l.files)
			mustRender(b, renderer, l.input, benchObjects)
			l.input.Tree = treeOf(l.files).with(map[string]string{"README.md": "changed"})
			report := cpuTime(b)
			for b.Loop() {
				if !mustRender(b, renderer, l.input, benchObjects).Cached {
					b.Fatal("rendered again")
				}
			}
			report()
		})
	}
}

// BenchmarkManyUnits renders 100 units of 10 objects in one repository after a change in one unit.
func BenchmarkManyUnits(b *testing.B) {
	const units, each = 100, 10
	files := map[string]string{}
	for unit := range units {
		for i := range each {
			files[fmt.Sprintf("apps/u%03d/f%d.yaml", unit, i)] = manifestOf(unit*each+i, 1)
		}
	}
	before := treeOf(files)
	trees := []memTree{before, before.with(map[string]string{"apps/u050/f4.yaml": manifestOf(504, 2)})}
	renderer := render.New(render.Options{})
	renderAll := func(tree memTree) {
		for unit := range units {
			mustRender(b, renderer, render.Input{
				Owner: object.Owner{Namespace: "flux-system", Name: fmt.Sprint(unit)},
				Tree:  tree, Path: fmt.Sprintf("apps/u%03d", unit),
			}, each)
		}
	}
	renderAll(before)
	report := cpuTime(b)
	for i := 1; b.Loop(); i++ {
		renderAll(trees[i%2])
	}
	report()
}
