package decrypt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/stores/yaml"

	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt/sopstest"
)

// manifest is a Secret with a number of values.
func manifest(values int) string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Secret\nmetadata:\n    name: token\nstringData:\n")
	for i := range values {
		fmt.Fprintf(&text, "    key%d: value-%d-%s\n", i, i, strings.Repeat("x", 24))
	}
	return text.String()
}

// BenchmarkOpen decrypts one file, with our opener and with SOPS's own code for the same.
func BenchmarkOpen(b *testing.B) {
	for name, key := range map[string]sopstest.Key{"age": sopstest.Age(b), "pq": sopstest.AgePostQuantum(b), "pgp": sopstest.PGP(b)} {
		for _, values := range []int{1, 100} {
			file := []byte(sopstest.Encrypt(b, sopstest.File{Format: sealed.YAML, Plain: manifest(values), For: []sopstest.Key{key}, Regex: sopstest.Manifest}))
			suffix := ".agekey"
			if name == "pgp" {
				suffix = ".asc"
			}
			ring := ringOf(b, map[string]string{"a" + suffix: key.Private})
			b.Run(fmt.Sprintf("ours/%s/%d", name, values), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ring.Open(context.Background(), sealed.Box{Path: "a", Data: file, In: sealed.YAML, Out: sealed.YAML}); err != nil {
						b.Fatal(err)
					}
				}
			})
			if name == "pgp" {
				continue // SOPS's own looks for a keyring on the disk
			}
			b.Run(fmt.Sprintf("sops/%s/%d", name, values), func(b *testing.B) {
				lines := strings.Split(strings.TrimSpace(key.Private), "\n")
				b.Setenv("SOPS_AGE_KEY", lines[len(lines)-1])
				b.ReportAllocs()
				for b.Loop() {
					if err := openWithSOPS(file); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// openWithSOPS does what SOPS's decrypt package does.
func openWithSOPS(file []byte) error {
	store := yaml.NewStore(&config.YAMLStoreConfig{})
	tree, err := store.LoadEncryptedFile(file)
	if err != nil {
		return err
	}
	key, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()}, sops.DefaultDecryptionOrder)
	if err != nil {
		return err
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(key, cipher)
	if err != nil {
		return err
	}
	stated, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || stated != mac {
		return fmt.Errorf("MAC: %w", err)
	}
	_, err = store.EmitPlainFile(tree.Branches)
	return err
}
