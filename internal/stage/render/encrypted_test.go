package render_test

import (
	"context"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/stage/render"
)

func TestEncryptedObjectsAreRefused(t *testing.T) {
	const meta = "metadata: {name: token, namespace: web}\n"
	const sops = "sops:\n  mac: ENC[AES256_GCM,data:abc,type:str]\n  version: 3.13.3\n"
	cases := map[string]struct {
		why, manifest string
		wantErr       bool
	}{
		"Plain":            {why: "an ordinary Secret", manifest: "apiVersion: v1\nkind: Secret\n" + meta + "stringData: {key: value}\n"},
		"SecretStringData": {why: "a built-in kind loses its sops field when it is normalised; it must be seen before", manifest: "apiVersion: v1\nkind: Secret\n" + meta + "stringData: {key: 'ENC[AES256_GCM,data:abc,type:str]'}\n" + sops, wantErr: true},
		"SecretData":       {why: "the same in data", manifest: "apiVersion: v1\nkind: Secret\n" + meta + "data: {key: 'ENC[AES256_GCM,data:abc,type:str]'}\n" + sops, wantErr: true},
		"ConfigMap":        {why: "other built-in kinds, too", manifest: "apiVersion: v1\nkind: ConfigMap\n" + meta + "data: {key: 'ENC[AES256_GCM,data:abc,type:str]'}\n" + sops, wantErr: true},
		"Custom":           {why: "and custom resources", manifest: "apiVersion: example.org/v1\nkind: Thing\n" + meta + sops, wantErr: true},
		"Payload":          {why: "a file that SOPS encrypted, as a value", manifest: "apiVersion: v1\nkind: Secret\n" + meta + "stringData:\n  values.yaml: |\n    a: b\n    sops:\n        mac: ENC[AES256_GCM,data:abc]\n", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			input := render.Input{Owner: owner, Tree: treeOf(map[string]string{"apps/token.yaml": tc.manifest}), Path: "apps"}
			_, err := render.New(render.Options{}).Render(context.Background(), input)
			switch {
			case tc.wantErr && err == nil:
				t.Errorf("%s: it was let through", tc.why)
			case tc.wantErr && (!strings.Contains(err.Error(), "token") || !strings.Contains(err.Error(), "apps/token.yaml")):
				t.Errorf("%s: the error names neither object nor file: %v", tc.why, err)
			case !tc.wantErr && err != nil:
				t.Errorf("%s: %v", tc.why, err)
			}
		})
	}
}
