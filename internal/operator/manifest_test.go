package operator_test

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// configMap writes a manifest; data are lines of "key: value".
func configMap(name string, data ...string) string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
	if len(data) > 0 {
		text += "data:\n  " + strings.Join(data, "\n  ") + "\n"
	}
	return text
}

// annotated adds an annotation to a manifest that has none.
func annotated(manifest, key, value string) string {
	return strings.Replace(manifest, "metadata:\n", fmt.Sprintf("metadata:\n  annotations:\n    %s: %q\n", key, value), 1)
}

// deployment writes a manifest; replicas below 0 are left open.
func deployment(name, app string, replicas int) string {
	count := ""
	if replicas >= 0 {
		count = fmt.Sprintf("  replicas: %d\n", replicas)
	}
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: " + name + "\nspec:\n" + count +
		"  selector:\n    matchLabels: {app: " + app + "}\n  template:\n    metadata:\n      labels: {app: " + app + "}\n" +
		"    spec:\n      containers:\n        - name: main\n          image: example.org/app:v1\n"
}

func encode(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }
