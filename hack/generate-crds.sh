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

# Flux 2.10 has Alerts and Providers as v1: the same without the deprecated fields, and with a few
# more types. Their module does not fit this one yet, so the version is made of v1beta3, which stays
# the one that is stored: it holds all fields of both.
for kind in alerts providers; do
	file="$out/notification.toolkit.fluxcd.io_$kind.yaml"
	awk '
		/^  versions:/ { print; copying = 1; next }
		copying { version[++lines] = $0; next }
		{ print }
		END {
			for (i = 1; i <= lines; i++) {
				line = version[i]
				indent = match(line, /[^ ]/) - 1
				if (skipping && indent > 14) continue
				skipping = indent == 14 && line ~ /^ *(interval|proxy|summary):$/
				if (skipping) continue
				sub(/^    name: v1beta3$/, "    name: v1", line)
				sub(/^    storage: true$/, "    storage: false", line)
				print line
				if (line ~ /^                - otel$/) print "                - zoom\n                - incidentio\n                - mastodon"
			}
			for (i = 1; i <= lines; i++) print version[i]
		}
	' "$file" >"$out/made"
	mv "$out/made" "$file"
done

if [ "${1:-}" = --check ]; then
	for file in "$out"/*.yaml; do
		cmp "$file" "config/crd/$(basename "$file")"
	done
	exit
fi
rm -f config/crd/*_*.yaml
mv "$out"/*.yaml config/crd/
