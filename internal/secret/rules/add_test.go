package rules_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/secret/rules"
)

func recipient(t testing.TB) string {
	t.Helper()
	made, _, err := keyring.New(keyring.Making{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestAdd(t *testing.T) {
	key, other := recipient(t), recipient(t)
	fresh := "  - path_regex: ^clusters/prod/.*\\.(ya?ml|json)$\n    encrypted_regex: ^(data|stringData)$\n    age: KEY\n" +
		"  - path_regex: ^clusters/prod/\n    age: KEY\n"
	flush := strings.ReplaceAll(strings.ReplaceAll(fresh, "  - ", "- "), "    ", "  ")
	cases := map[string]struct {
		why, before, want string // want "" is ErrByHand
	}{
		"Empty":    {"a new file", "", "creation_rules:\n" + fresh},
		"Comment":  {"a file of comments", "# ours\n", "# ours\ncreation_rules:\n" + fresh},
		"NoRules":  {"other settings stay", "stores:\n  yaml:\n    indent: 2\n", "stores:\n  yaml:\n    indent: 2\ncreation_rules:\n" + fresh},
		"NullRule": {"a list that is still empty", "creation_rules:\n", "creation_rules:\n" + fresh},
		"After": {
			"rules for other places stay before ours, with their comments",
			"creation_rules:\n  # dev\n  - path_regex: ^clusters/dev/\n    age: OTHER # anne\nstores: {}\n",
			"creation_rules:\n  # dev\n  - path_regex: ^clusters/dev/\n    age: OTHER # anne\n" + fresh + "stores: {}\n",
		},
		"BeforeAll": {
			"a rule for everything would take our files, so ours come before it and its comment",
			"creation_rules:\n  - path_regex: ^x/\n    age: OTHER\n  # the rest\n  - age: OTHER\n",
			"creation_rules:\n  - path_regex: ^x/\n    age: OTHER\n" + fresh + "  # the rest\n  - age: OTHER\n",
		},
		"Flush": {
			"lists may begin at the margin",
			"creation_rules:\n- path_regex: ^x/\n  age: OTHER\n",
			"creation_rules:\n- path_regex: ^x/\n  age: OTHER\n" + flush,
		},
		"Folded": {
			"a folded list of keys ends where it ends",
			"creation_rules:\n  - path_regex: ^x/\n    age: >-\n      OTHER,\n      OTHER\n",
			"creation_rules:\n  - path_regex: ^x/\n    age: >-\n      OTHER,\n      OTHER\n" + fresh,
		},
		"NoEnd": {
			"the last line may lack its end",
			"creation_rules:\n  - path_regex: ^x/\n    age: OTHER",
			"creation_rules:\n  - path_regex: ^x/\n    age: OTHER\n" + fresh,
		},
		"Again":  {"what is there is not added twice", "creation_rules:\n" + fresh, "creation_rules:\n" + fresh},
		"Scalar": {"a key joins others in a line", "creation_rules:\n" + strings.ReplaceAll(fresh, "KEY", `"OTHER"`), "creation_rules:\n" + strings.ReplaceAll(fresh, "KEY", `"OTHER,KEY"`)},
		"List": {
			"or in a list",
			"creation_rules:\n" + strings.ReplaceAll(fresh, "    age: KEY\n", "    age:\n      - OTHER # anne\n"),
			"creation_rules:\n" + strings.ReplaceAll(fresh, "    age: KEY\n", "    age:\n      - OTHER # anne\n      - KEY\n"),
		},
		"Flow":     {"what cannot be extended is left alone", "creation_rules: [{path_regex: x, age: OTHER}]\n", ""},
		"NotAList": {"nor is what makes no sense", "creation_rules: 7\n", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("KEY", key, "OTHER", other).Replace
			got, _, err := rules.Add([]byte(fill(c.before)), rules.Environment{Folder: "clusters/prod", Recipient: key})
			if c.want == "" {
				if !errors.Is(err, rules.ErrByHand) {
					t.Errorf("%s: got %v\n%s", c.why, err, got)
				}
				return
			}
			if diff := cmp.Diff(fill(c.want), string(got)); diff != "" || err != nil {
				t.Fatalf("%s: %v (-want +got):\n%s", c.why, err, diff)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, rules.Name)
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"clusters/prod/db.yaml", "clusters/prod/app.env"} {
				rule, err := rules.For(filepath.Join(dir, path))
				if err != nil {
					t.Fatal(err)
				}
				names := rule.Recipients()
				if len(names) == 0 || names[len(names)-1].Name != key {
					t.Errorf("sops takes %v for %s, want %s", names, path, key)
				}
				if whole := rule.EncryptedRegex == ""; whole != strings.HasSuffix(path, ".env") {
					t.Errorf("of %s, %q is encrypted", path, rule.EncryptedRegex)
				}
			}
		})
	}
}

func TestNoRule(t *testing.T) {
	dir := t.TempDir()
	if _, err := rules.For(filepath.Join(dir, "a.yaml")); !errors.Is(err, rules.ErrNoFile) {
		t.Skipf("a %s lies above the folder for temporary files: %v", rules.Name, err)
	}
	text := "creation_rules:\n  - path_regex: ^x/\n    age: " + recipient(t) + "\n"
	if err := os.WriteFile(filepath.Join(dir, rules.Name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.For(filepath.Join(dir, "a.yaml")); !errors.Is(err, rules.ErrNoRule) {
		t.Errorf("got %v", err)
	}
}

// FuzzAdd: whatever the file looks like, the change is refused or sops can read the result, and a
// second change finds nothing left to do.
func FuzzAdd(f *testing.F) {
	key := recipient(f)
	for _, seed := range []string{
		"", "creation_rules:\n", "creation_rules:\n- age: x\n", "a: b\ncreation_rules:\n  # c\n  - path_regex: ^clusters/\n    age: >-\n      a,\n      b\n",
		"creation_rules:\n  - path_regex: ^clusters/prod/\n    age: [a]\n", "---\ncreation_rules:\n   -   age: 'a'\n...\n", "? creation_rules\n: - age: a\n", "&a creation_rules: &b\n  - *a\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, before string) {
		environment := rules.Environment{Folder: "clusters/prod", Recipient: key}
		after, _, err := rules.Add([]byte(before), environment)
		if err != nil {
			return
		}
		again, changes, err := rules.Add(after, environment)
		if err != nil || len(changes) > 0 || string(again) != string(after) {
			t.Errorf("a second change does %v, %v to\n%s", changes, err, after)
		}
	})
}
