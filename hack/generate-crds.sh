#!/bin/sh
# Generates config/crd from the API modules that go.mod names, with the tool and version that Flux
# itself uses, so that the schemas are the same to the byte. `--check` only compares.
set -eu

version=v0.21.0
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for controller in source kustomize helm notification; do
	go run "sigs.k8s.io/controller-tools/cmd/controller-gen@$version" crd:crdVersions=v1 \
		paths="github.com/fluxcd/$controller-controller/api/..." \
		output:crd:artifacts:config="$out/$controller"
	for file in "$out/$controller"/*.yaml; do
		# The labels that `flux install` puts on its definitions; `flux check` looks for them.
		awk -v component="$controller-controller" '
			/^  name: / && !done {
				print "  labels:"
				print "    app.kubernetes.io/component: " component
				print "    app.kubernetes.io/part-of: flux"
				done = 1
			}
			{ print }
		' "$file" >"$out/$(basename "$file")"
	done
done

if [ "${1:-}" = --check ]; then
	for file in "$out"/*.yaml; do
		cmp "$file" "config/crd/$(basename "$file")"
	done
	exit
fi
rm -f config/crd/*_*.yaml
mv "$out"/*.yaml config/crd/
