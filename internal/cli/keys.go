package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/secret/keyring"
	"holdfast.dev/holdfast/internal/stage/decrypt"
)

// keysAtHand finds the age keys of the person at this machine, where sops looks for them: in SOPS_AGE_KEY,
// in the file that SOPS_AGE_KEY_FILE names, and in the file in the folder of the user's settings; and in
// the files that `holdfast secrets init` and `up --demo` make. A file that is named by a flag is the only one. No command is run for keys, as sops would.
func keysAtHand(named string) (map[string][]byte, error) {
	data := map[string][]byte{}
	read := func(file string) error {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[file+".agekey"] = content
		return nil
	}
	if named != "" {
		if err := read(named); err != nil {
			return nil, hinted(fmt.Errorf("reading age keys: %w", err), "--age-key-file names a file that age-keygen wrote")
		}
		return data, nil
	}
	if text := os.Getenv("SOPS_AGE_KEY"); text != "" {
		data["SOPS_AGE_KEY.agekey"] = []byte(strings.Join(strings.Fields(text), "\n"))
	}
	if file := os.Getenv("SOPS_AGE_KEY_FILE"); file != "" {
		if err := read(file); err != nil {
			return nil, hinted(fmt.Errorf("reading age keys: %w", err), "SOPS_AGE_KEY_FILE names a file that age-keygen wrote")
		}
	}
	if file, err := defaultKeyFile(); err == nil {
		_ = read(file) // nobody asked for this one
	}
	if config, err := os.UserConfigDir(); err == nil {
		ours, _ := filepath.Glob(filepath.Join(keyring.Folder(config), "*.agekey"))
		for _, file := range ours {
			if _, err := keyring.Load(keyring.Options{Files: []string{file}}); err == nil {
				_ = read(file) // nor for these
			}
		}
	}
	return data, nil
}

// defaultKeyFile is where sops keeps age keys.
func defaultKeyFile() (string, error) {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" && runtime.GOOS == "darwin" {
		return filepath.Join(dir, "sops", "age", "keys.txt"), nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "sops", "age", "keys.txt"), err
}

// unseal lets a build decrypt with the keys at hand. Without any, what is encrypted stays so.
func (f *buildFlags) unseal(options *preview.Options) error {
	data, err := keysAtHand(f.ageKeyFile)
	if err != nil || len(data) == 0 {
		return err
	}
	decrypt.Quiet()
	ring, err := decrypt.NewKeyring(decrypt.Keys{Origin: "your age keys", Data: data}, decrypt.Options{})
	if err != nil {
		return err
	}
	options.Opener, options.ShowSecrets = ring, f.showSecrets
	return nil
}
