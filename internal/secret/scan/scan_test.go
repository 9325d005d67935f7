package scan_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/secret/scan"
)

// The samples are made here: a repository that looks for secrets must not hold any, not even false
// ones.
const (
	alnum   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	caps    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	hexes   = "9f8e7d6c5b4a3210"
	base64s = alnum + "+/"
)

// made returns n bytes of an alphabet in an order that looks random and is always the same.
func made(alphabet string, n int) string {
	out := make([]byte, n)
	state := uint64(0x9e3779b97f4a7c15)
	for i := range out {
		state = state*6364136223846793005 + 1442695040888963407
		out[i] = alphabet[(state>>33)%uint64(len(alphabet))]
	}
	return string(out)
}

func begin(kind string) string { return "-----BEGIN " + kind + "-----\n" }

func pem(kind string) string {
	return begin(kind) + made(base64s, 64) + "\n" + made(base64s, 40) + "\n-----END " + kind + "-----\n"
}

func rulesOf(t *testing.T, name, content string) []scan.Rule {
	t.Helper()
	found, err := scan.Content(name, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	var rules []scan.Rule
	for _, one := range found {
		rules = append(rules, one.Rule)
		if strings.Contains(fmt.Sprintf("%+v", one), made(alnum, 12)) {
			t.Errorf("the finding %+v shows the secret", one)
		}
	}
	return rules
}

// TestTokens: each shape is found, and what only resembles it is not.
func TestTokens(t *testing.T) {
	positives := map[string]string{
		"age":          "AGE-SECRET-KEY-1" + made(caps, 58),
		"age-pq":       "AGE-SECRET-KEY-PQ-1" + made(caps, 58),
		"github":       "ghp_" + made(alnum, 36),
		"github-app":   "ghs_" + made(alnum, 36),
		"github-fine":  "github_pat_" + made(alnum, 22) + "_" + made(alnum, 59),
		"gitlab":       "glpat-" + made(alnum, 20),
		"gitlab-run":   "glrt-" + made(alnum, 20),
		"aws":          "AKIA" + made(caps, 16),
		"aws-session":  "ASIA" + made(caps, 16),
		"slack":        "xoxb-" + made("0123456789", 12) + "-" + made(alnum, 24),
		"slack-hook":   "https://hooks.slack.com/services/T" + made(caps, 9) + "/B" + made(caps, 9) + "/" + made(alnum, 24),
		"google":       "AIza" + made(alnum, 35),
		"google-oauth": "GOCSPX-" + made(alnum, 28),
		"stripe":       "sk_live_" + made(alnum, 24),
		"webhook":      "whsec_" + made(alnum, 32),
		"openai":       "sk-proj-" + made(alnum, 48),
		"anthropic":    "sk-ant-" + made(alnum, 60),
		"npm":          "npm_" + made(alnum, 36),
		"pypi":         "pypi-AgEIcHlwaS5vcmc" + made(alnum, 60),
		"docker":       "dckr_pat_" + made(alnum, 27),
		"sendgrid":     "SG." + made(alnum, 22) + "." + made(alnum, 43),
		"digitalocean": "dop_v1_" + made(hexes, 64),
		"vault":        "hvs." + made(alnum, 24),
		"huggingface":  "hf_" + made(alnum, 34),
		"grafana":      "glsa_" + made(alnum, 32) + "_" + made(hexes, 8),
		"tailscale":    "tskey-auth-" + made(alnum, 30),
		"shopify":      "shpat_" + made(hexes, 32),
		"linear":       "lin_api_" + made(alnum, 40),
		"azure":        "AccountKey=" + made(base64s, 86) + "==",
		"jwt":          "eyJ" + made(alnum, 30) + ".eyJ" + made(alnum, 30) + "." + made(alnum, 40),
	}
	for name, token := range positives {
		for _, line := range []string{token, "x: " + token + "\n", "<" + token + ">", `"` + token + `",`} {
			if got := rulesOf(t, "a.txt", line); len(got) != 1 || got[0] != scan.Token {
				t.Errorf("%s: got %v", name, got)
			}
		}
	}
	misses := map[string]string{
		"the prefix alone":         "ghp_",
		"one byte too short":       "ghp_" + made(alnum, 35),
		"a placeholder":            "ghp_" + strings.Repeat("x", 36),
		"an example of AWS":        "AKIAIOSFODNN7" + "EXAMPLE",
		"one byte too long":        "AKIA" + made(caps, 17),
		"a part of a longer word":  "xghp_" + made(alnum, 36),
		"small letters":            "AKIA" + strings.ToLower(made(caps, 16)),
		"a JWT without signature":  "eyJ" + made(alnum, 30) + "." + made(alnum, 40),
		"two keys of one alphabet": "AIza" + made(alnum, 70),
		"a public key of age":      "age1" + strings.ToLower(made(caps, 58)),
		"a digest":                 "sha256:" + made(hexes, 64),
		"a public key of SSH":      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + made(base64s, 43),
	}
	for why, text := range misses {
		if got := rulesOf(t, "a.txt", text); len(got) != 0 {
			t.Errorf("%s: got %v", why, got)
		}
	}
}

func TestContent(t *testing.T) {
	random := made(alnum, 24)
	wrapped := base64.StdEncoding.EncodeToString([]byte(pem("EC PRIVATE KEY")))
	none, entropy := []scan.Rule(nil), []scan.Rule{scan.Entropy}
	cases := map[string]struct {
		why, name, content string
		want               []scan.Rule
	}{
		"PEM":            {"keys in PEM", "a.pem", pem("RSA PRIVATE KEY"), []scan.Rule{scan.PrivateKey}},
		"PEMIndented":    {"in YAML", "a.yaml", "key: |\n  " + strings.ReplaceAll(pem("PRIVATE KEY"), "\n", "\n  "), []scan.Rule{scan.PrivateKey}},
		"PEMEscaped":     {"in JSON", "a.json", `{"k": "` + strings.ReplaceAll(pem("OPENSSH PRIVATE KEY"), "\n", `\n`) + `"}`, []scan.Rule{scan.PrivateKey}},
		"PGP":            {"of OpenPGP", "a.asc", begin("PGP PRIVATE KEY BLOCK") + "\n" + made(base64s, 64) + "\n" + made(base64s, 64), []scan.Rule{scan.PrivateKey}},
		"Locked":         {"even with a passphrase", "a.pem", begin("ENCRYPTED PRIVATE KEY") + made(base64s, 64) + "\n" + made(base64s, 9), []scan.Rule{scan.PrivateKey}},
		"Wrapped":        {"in base64 once more", "a.txt", "tls.key: " + wrapped, []scan.Rule{scan.PrivateKey}},
		"Certificate":    {"a certificate is public", "a.pem", pem("CERTIFICATE"), none},
		"PublicKey":      {"so is a public key", "a.pem", pem("PUBLIC KEY"), none},
		"WordsOnly":      {"words about a key are none", "a.md", "A file with `-----BEGIN PRIVATE KEY-----` and so on, for example in documentation that goes on.\n", none},
		"WrappedPublic":  {"a certificate in base64", "a.txt", "ca.crt: " + base64.StdEncoding.EncodeToString([]byte(pem("CERTIFICATE"))), none},
		"Secret":         {"values of a Secret", "a.yaml", "kind: Secret\nmetadata:\n  name: db\nstringData:\n  a: one\n  b: two\n", []scan.Rule{scan.PlainSecret, scan.PlainSecret}},
		"SecretData":     {"in base64", "a.yaml", "apiVersion: v1\nkind: \"Secret\"\ndata:\n  a: b25l\n", []scan.Rule{scan.PlainSecret}},
		"SecretJSON":     {"in JSON", "a.json", `{"kind": "Secret", "data": {"a": "b25l"}}`, []scan.Rule{scan.PlainSecret}},
		"SecretInList":   {"in a list", "a.yaml", "kind: List\nitems:\n- kind: Secret\n  data:\n    a: b25l\n", []scan.Rule{scan.PlainSecret}},
		"SecondDocument": {"in any document", "a.yaml", "kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\ndata:\n  a: b25l\n", []scan.Rule{scan.PlainSecret}},
		"Encrypted":      {"what is encrypted is fine", "a.yaml", "kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n  mac: ENC[x]\n", none},
		"HalfEncrypted":  {"what was added later is not", "a.yaml", "kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:x]\n  b: two\nsops:\n  mac: x\n", []scan.Rule{scan.PlainSecret}},
		"Variable":       {"a variable is filled in later", "a.yaml", "kind: Secret\nstringData:\n  a: ${password}\n", none},
		"NoValues":       {"a Secret for others to fill", "a.yaml", "kind: Secret\ntype: kubernetes.io/service-account-token\n", none},
		"SecretRef":      {"a reference is no Secret", "a.yaml", "kind: GitRepository\nspec:\n  secretRef:\n    name: db\n  ref:\n    kind: SecretStore\n", none},
		"Template":       {"a chart's template has its values elsewhere", "a.yaml", "{{- if .Values.x }}\nkind: Secret\ndata:\n  a: {{ .Values.a | b64enc }}\n{{- end }}\n", none},
		"Generator":      {"kustomize makes Secrets of literals", "kustomization.yaml", "secretGenerator:\n- name: a\n  literals:\n  - password=one\n", []scan.Rule{scan.PlainSecret}},
		"GeneratorFiles": {"files are looked at themselves", "kustomization.yaml", "secretGenerator:\n- name: a\n  files: [one.env]\n", none},
		"Env":            {"a random value under a name", "a.env", "DB_PASSWORD=" + random + "\n", entropy},
		"YAML":           {"in YAML", "a.yaml", "apiKey: " + random + "\n", entropy},
		"JSON":           {"in JSON", "a.json", `{"client_secret":"` + random + `"}`, entropy},
		"Flag":           {"in a command line", "a.sh", "tool --token=" + random + " --x\n", entropy},
		"Go":             {"in code, quoted", "a.go", `const apiToken = "` + random + `"`, entropy},
		"Hex":            {"of hex digits", "a.env", "SIGNING_KEY=" + made(hexes, 40) + "\n", entropy},
		"Expression":     {"code that gets a value", "a.go", "password := config.Get2(user9).Password7Value8X\n", none},
		"OtherName":      {"a name that is not secret", "a.yaml", "digest: " + random + "\n", none},
		"NameOnly":       {"the name of a Secret", "a.yaml", "existingSecret: postgres-16-credentials\n", none},
		"SecretName":     {"a field about a Secret", "a.yaml", "secretName: " + random + "\n", none},
		"Words":          {"words are not random", "a.yaml", "password: correct-horse-battery-staple\n", none},
		"Reference":      {"what is filled in later", "a.env", "DB_PASSWORD=${DB_PASSWORD_1A2b3C4d5E6f}\n", none},
		"Path":           {"a path", "a.yaml", "token: /var/run/secrets/K8s1Token2Path3x\n", none},
		"ENC":            {"ciphertext", "a.env", "DB_PASSWORD=ENC[AES256_GCM,data:" + random + "]\n", none},
		"Filler":         {"a filler says so", "a.env", "API_TOKEN=your-Token-1A2b3C4d5E6f7G8h\n", none},
		"URL":            {"a password in an address", "a.env", "DATABASE=postgres://app:" + random + "@db:5432/x\n", []scan.Rule{scan.Password}},
		"URLUser":        {"a user alone is none", "a.env", "DATABASE=postgres://app@db:5432/x\n", none},
		"URLVariable":    {"nor is a variable", "a.env", "DATABASE=postgres://app:${PASSWORD}@db/x\n", none},
		"URLPort":        {"nor a port", "a.env", "DATABASE=postgres://host:5432/x@y\n", none},
		"Waived":         {"a waiver with its reason", "a.env", "DB_PASSWORD=" + random + " # holdfast:allow-secret a fixture of the parser's test\n", none},
		"WaivedAbove":    {"or above", "a.yaml", "# holdfast:allow-secret public demo account\npassword: " + random + "\n", none},
		"WaivedBare":     {"a reason is needed", "a.env", "DB_PASSWORD=" + random + " # holdfast:allow-secret\n", []scan.Rule{scan.Waiver}},
		"WaivedHTML":     {"the end of a comment is no reason", "a.html", "<!-- holdfast:allow-secret -->\n<x token=\"" + random + "\">", []scan.Rule{scan.Waiver}},
		"Once":           {"a line is told once, by the rule that knows most", "a.env", "API_TOKEN=ghp_" + made(alnum, 36) + "\n", []scan.Rule{scan.Token}},
		"Binary":         {"what is no text has no lines", "a.bin", "\x00" + pem("RSA PRIVATE KEY"), none},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, rulesOf(t, c.name, c.content)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
		})
	}
}

func TestLines(t *testing.T) {
	content := "kind: Secret\nmetadata:\n  name: db\nstringData:\n  user: x\n  # comment\n  password: y\n"
	found, err := scan.Content("a.yaml", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	want := []scan.Finding{
		{File: "a.yaml", Line: 5, Rule: scan.PlainSecret, Message: "the Secret db has stringData.user in plain text"},
		{File: "a.yaml", Line: 7, Rule: scan.PlainSecret, Message: "the Secret db has stringData.password in plain text"},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := scan.Content("a.yaml", []byte("kind: Secret\n a: [\n")); err == nil {
		t.Error("what cannot be judged is not told")
	}
}

// TestExamplesAreClean: the example platform and the documentation hold nothing that looks like a
// secret, so a person who begins with them is not met by findings.
func TestExamplesAreClean(t *testing.T) {
	for _, dir := range []string{"../../../examples", "../../../docs", "../../../config"} {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") {
				return err
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			found, err := scan.Content(name, content)
			lines := strings.Split(string(content), "\n")
			for _, one := range found {
				// Templates say on top that scaffolding puts values in and encrypts them.
				template := strings.HasPrefix(lines[0], "# PLACEHOLDER stands for a value")
				if line := lines[one.Line-1]; template && (strings.HasSuffix(line, ": PLACEHOLDER") || strings.HasSuffix(line, "user: administrator")) {
					continue
				}
				t.Errorf("%s:%d: %s", one.File, one.Line, one.Message)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// thousand is a repository of ordinary size: what a hook looks at in the worst case.
func thousand() [][]byte {
	var files [][]byte
	for i := range 1000 {
		files = append(files, fmt.Appendf(nil, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-%d\n%sspec:\n  replicas: 1\n", i,
			strings.Repeat("  # a line of ordinary length: with = and : in it\n  label: value\n", 25)))
	}
	return files
}

func BenchmarkThousandFiles(b *testing.B) {
	files := thousand()
	for b.Loop() {
		for _, content := range files {
			if found, err := scan.Content("a.yaml", content); err != nil || len(found) > 0 {
				b.Fatal(found, err)
			}
		}
	}
}

// TestFast keeps the promise that a hook does not make people wait. The bound is far above what it
// takes, because machines that run tests are busy.
func TestFast(t *testing.T) {
	files := thousand()
	best := time.Hour
	for range 5 {
		began := time.Now()
		for _, content := range files {
			if _, err := scan.Content("a.yaml", content); err != nil {
				t.Fatal(err)
			}
		}
		best = min(best, time.Since(began))
	}
	if best > 2*time.Second {
		t.Errorf("1,000 files take %s", best)
	}
	t.Logf("1,000 files take %s", best)
}

func FuzzContent(f *testing.F) {
	f.Add("a.yaml", "kind: Secret\nstringData:\n  a: b\n")
	f.Add("a.json", `{"kind":"Secret","data":{"a":"b"}}`)
	f.Add("a.env", "PASSWORD=\"'x\n://a:b@c")
	f.Add("a.txt", "-----BEGIN PRIVATE KEY-----LS0tLS1CRUdJTi://:@holdfast:allow-secret")
	f.Fuzz(func(t *testing.T, name, content string) {
		found, _ := scan.Content(name, []byte(content))
		lines := strings.Count(content, "\n") + 1
		for i, one := range found {
			if one.Line < 1 || one.Line > lines || i > 0 && one.Line <= found[i-1].Line {
				t.Errorf("finding %d is in line %d of %d", i, one.Line, lines)
			}
		}
	})
}
