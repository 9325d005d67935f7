package render_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
	"holdfast.dev/holdfast/internal/stage/render"
)

// BenchmarkSealed renders a unit of 1,000 encrypted Secrets: at first, with nothing changed, and with one
// file changed; and the same in plain, to compare with.
func BenchmarkSealed(b *testing.B) {
	const count = 1000
	key := sopstest.Age(b)
	ring := ringOf(b, key)
	sealedFiles, plainFiles := map[string]string{}, map[string]string{}
	for i := range count {
		name := fmt.Sprintf("secret-%d", i)
		sealedFiles["apps/"+name+".yaml"] = sopstest.Secret(b, name, "value-"+name, key)
		plainFiles["apps/"+name+".yaml"] = "apiVersion: v1\nkind: Secret\nmetadata:\n    name: " + name + "\nstringData:\n    token: value-" + name + "\n"
	}
	changed := sopstest.Secret(b, "secret-0", "other", key)
	for kind, files := range map[string]map[string]string{"sealed": sealedFiles, "plain": plainFiles} {
		at := treeOf(files)
		next := at.with(map[string]string{"apps/secret-0.yaml": changed})
		if kind == "plain" {
			next = at.with(map[string]string{"apps/secret-0.yaml": strings.Replace(files["apps/secret-0.yaml"], "token: ", "token: x", 1)})
		}
		input := render.Input{Owner: owner, Tree: at, Path: "apps", TargetNamespace: "web", Opener: ring}
		must := func(b *testing.B, renderer *render.Renderer, input render.Input) {
			if _, err := renderer.Render(context.Background(), input); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(kind+"/first", func(b *testing.B) {
			before := heap()
			var renderer *render.Renderer
			for b.Loop() {
				renderer = render.New(render.Options{})
				must(b, renderer, input)
			}
			b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-kept")
			runtime.KeepAlive(renderer)
		})
		renderer := render.New(render.Options{})
		must(b, renderer, input)
		b.Run(kind+"/same", func(b *testing.B) {
			for b.Loop() {
				must(b, renderer, input)
			}
		})
		b.Run(kind+"/one", func(b *testing.B) {
			other := input
			for i := 0; b.Loop(); i++ {
				other.Tree = at
				if i%2 == 0 {
					other.Tree = next
				}
				must(b, renderer, other)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
