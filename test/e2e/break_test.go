package e2e

import (
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// breakAndRevert follows the recipes that the program prints: it breaks the demo, sees it undone, and
// reverts.
func (d *demo) breakAndRevert(client kubernetes.Interface) {
	d.t.Helper()
	image := func() string {
		live, err := client.AppsV1().Deployments("homepage").Get(d.t.Context(), "homepage", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return live.Spec.Template.Spec.Containers[0].Image
	}
	good := image()
	standing := regexp.MustCompile(`\* +Good`)
	await(d.t, "a good release", func() bool { return standing.MatchString(d.ask("history", "apps")) })

	d.recipe("an image that never comes up")
	d.waitFor("apps  rolled back, and held there until Git changes")
	d.waitFor(`image "ghcr.io/gethomepage/homepage:does-not-exist" cannot be pulled`)
	d.waitFor("the way out: `git revert HEAD`, or a fix; what happened: `holdfast history apps`")
	if got := image(); got != good {
		d.t.Errorf("after the rollback the image is %q, want %q", got, good)
	}
	if history := d.ask("history", "apps"); !strings.Contains(history, "RolledBack to ") {
		d.t.Errorf("the history does not tell of the rollback:\n%s", history)
	}
	d.revert()

	d.recipe("a port that cannot be")
	d.waitFor("apps  rejected, ReconciliationFailed: Service/whoami/whoami dry-run failed (Invalid)")
	d.revert()

	d.recipe("a manifest that is none")
	d.waitFor("apps  rejected, BuildFailed: building ./clusters/local/apps: bases/apps/whoami: ")
	d.revert()
	if got := image(); got != good {
		d.t.Errorf("after all reverts the image is %q, want %q", got, good)
	}
}

// recipe runs the shell command that the program printed below a heading.
func (d *demo) recipe(heading string) {
	d.t.Helper()
	_, rest, found := strings.Cut(d.text(), "# "+heading)
	lines := strings.SplitN(rest, "\n", 3)
	if !found || len(lines) < 3 {
		d.t.Fatalf("the program printed no recipe for %s", heading)
	}
	change, _, _ := strings.Cut(strings.TrimSpace(lines[1]), " && git commit")
	d.shell(change)
	d.commit(heading)
}

// revert takes the last commit back, and waits until everything stands on that.
func (d *demo) revert() {
	d.t.Helper()
	d.git("revert", "--no-edit", "HEAD")
	d.waitFor("all 5 units ready at main@sha1:" + d.git("rev-parse", "--short=12", "HEAD")[:12])
}

// ask runs a command against the demo's cluster and returns what it said.
func (d *demo) ask(args ...string) string {
	d.t.Helper()
	out, err := d.holdfast(append(args, "--kubeconfig", d.kubeconfig())...).Output()
	if err != nil {
		d.t.Fatalf("holdfast %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// decrypt reads one value of an encrypted file with the keys that the program made.
func (d *demo) decrypt(file, name string) string {
	d.t.Helper()
	out, err := d.holdfast("secrets", "decrypt", filepath.Join(d.dir, file)).Output()
	if err != nil {
		d.t.Fatalf("decrypting %s: %v", file, err)
	}
	var secret struct {
		StringData map[string]string `json:"stringData"`
	}
	if err := yaml.Unmarshal(out, &secret); err != nil || len(secret.StringData[name]) < 20 {
		d.t.Fatalf("%s holds no %s: %v", file, name, err)
	}
	return secret.StringData[name]
}

// checkSecrets compares what is encrypted in Git with what the cluster got, and looks for it where it
// must not be.
func (d *demo) checkSecrets(client kubernetes.Interface) {
	d.t.Helper()
	ctx := d.t.Context()
	forbidden := []string{"AGE-SECRET-KEY-"}
	for secret, value := range map[string]string{
		"nextcloud-administrator": d.decrypt("clusters/local/apps/nextcloud/administrator.yaml", "password"),
		"nextcloud-database":      d.decrypt("clusters/local/variables/cluster-secrets.yaml", "nextcloud_database_password"),
	} {
		live, err := client.CoreV1().Secrets("nextcloud").Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			d.t.Fatal(err)
		}
		if string(live.Data["password"]) != value {
			d.t.Errorf("Secret %s of the cluster does not hold what the file says", secret)
		}
		forbidden = append(forbidden, value, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	built, err := d.holdfast("build", "--env", "local", d.dir).Output()
	if err != nil {
		d.t.Errorf("building with the keys at hand: %v", err)
	}
	places := map[string]string{
		"the output of build": string(built),
		"Git's objects":       d.git("cat-file", "--batch", "--batch-all-objects"),
		"the terminal":        d.text(),
	}
	for name, path := range map[string]string{
		"events":   "/api/v1/events",
		"units":    "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
		"sources":  "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
		"workload": "/apis/apps/v1/deployments",
	} {
		body, err := client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		places[name] = string(body)
	}
	err = filepath.WalkDir(filepath.Join(d.home, "data", "holdfast", "cluster", "controller"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // the controller makes and removes files while we look
		}
		content, _ := os.ReadFile(name)
		places["the controller's file "+entry.Name()] += string(content)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for place, text := range places {
		for _, one := range forbidden {
			if strings.Contains(text, one) {
				d.t.Errorf("%s hold a secret in plain text", place)
			}
		}
	}
}
