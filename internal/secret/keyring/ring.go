package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"holdfast.dev/holdfast/internal/model/redact"
)

// maxKeyFile bounds what is read of a file that should hold keys.
const maxKeyFile = 1 << 20

// Skipped is a place that was looked at in vain.
type Skipped struct {
	Place string
	Why   string
}

// Ring is the keys at hand. The zero value has none, and can only encrypt.
type Ring struct {
	identities []Identity
	skipped    []Skipped
	openPGP    openPGP
}

// Options say where keys may lie. The zero value is nowhere.
type Options struct {
	// Env looks up a variable of the environment: those of SOPS count, but for those that name a
	// command. Nil means none.
	Env func(name string) (string, bool)
	// Home is the person's home folder, with .ssh and .gnupg; empty means none.
	Home string
	// Config is the folder of the person's settings, with sops/age/keys.txt; empty means none.
	Config string
	// Files are further identity files. They have to be readable.
	Files []string
	// Ask asks for passphrases; nil means that nobody can be asked.
	Ask Passphrase
}

// Load collects the keys at hand. A place by default that has none is passed over, and told by Skipped;
// a file that was named must hold a key.
func Load(options Options) (*Ring, error) {
	env := options.Env
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	ring := &Ring{openPGP: openPGPOf(env, options.Home)}
	for _, name := range options.Files {
		before := len(ring.identities)
		if err := ring.file(name, options.Ask); err != nil {
			return nil, fmt.Errorf("reading the key file %s: %w", name, err)
		}
		if len(ring.identities) == before {
			return nil, fmt.Errorf("reading the key file %s: it holds no key", name)
		}
	}
	if text, found := env("SOPS_AGE_KEY"); found {
		ring.take("$SOPS_AGE_KEY", []byte(text), options.Ask)
	}
	for _, variable := range []string{"SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE"} {
		if name, found := env(variable); found && name != "" {
			ring.try(name, options.Ask)
		}
	}
	for _, variable := range []string{"SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"} {
		if _, found := env(variable); found {
			ring.skip("$"+variable, errors.New("it names a command, and holdfast starts none"))
		}
	}
	for _, name := range usual(options) {
		ring.try(name, options.Ask)
	}
	return ring, nil
}

// usual lists the files where keys lie by default.
func usual(options Options) []string {
	var names []string
	if options.Config != "" {
		names = append(names, filepath.Join(options.Config, "sops", "age", "keys.txt"))
		ours, _ := filepath.Glob(filepath.Join(Folder(options.Config), "*.agekey")) // the pattern is well formed
		names = append(names, ours...)
	}
	if options.Home != "" {
		names = append(names, filepath.Join(options.Home, ".ssh", "id_ed25519"), filepath.Join(options.Home, ".ssh", "id_rsa"))
	}
	return names
}

// Folder is where Holdfast itself puts keys that are in no cluster, below the folder of settings.
func Folder(config string) string { return filepath.Join(config, "holdfast", "keys") }

// try reads a file that need not be there.
func (r *Ring) try(name string, ask Passphrase) {
	if err := r.file(name, ask); err != nil {
		r.skip(name, err)
	}
}

func (r *Ring) file(name string, ask Passphrase) error {
	content, err := readBounded(name)
	if err != nil {
		return err
	}
	if bytes.Contains(content, []byte("PRIVATE KEY-----")) {
		public, _ := readBounded(name + ".pub") // needed only for some keys, and then its absence is told
		identity, err := parseSSH(name, content, public, ask)
		if err == nil {
			r.identities = append(r.identities, identity)
		}
		return err
	}
	found, err := parseIdentities(name, content, ask)
	r.identities = append(r.identities, found...)
	return err
}

func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(content) > maxKeyFile {
		err = errors.New("it is too large for a file of keys")
	}
	return content, err
}

func (r *Ring) take(place string, content []byte, ask Passphrase) {
	found, err := parseIdentities(place, content, ask)
	if err != nil {
		r.skip(place, err)
	}
	r.identities = append(r.identities, found...)
}

func (r *Ring) skip(place string, why error) {
	if errors.Is(why, fs.ErrNotExist) {
		why = errors.New("it is not there")
	}
	r.skipped = append(r.skipped, Skipped{Place: place, Why: why.Error()})
}

// AddSecret adds the keys of a Secret as Kustomizations use it: entries that end in .agekey count, and
// .asc for OpenPGP. Others are skipped, and told.
func (r *Ring) AddSecret(place string, data map[string]redact.Bytes) {
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		entry := place + ", entry " + name
		switch {
		case strings.HasSuffix(name, ".agekey"):
			r.take(entry, data[name].Reveal(), nil)
		case strings.HasSuffix(name, ".asc"):
			if err := r.openPGP.addPrivate(data[name].Reveal()); err != nil {
				r.skip(entry, err)
			}
		default:
			r.skip(entry, errors.New("its name ends neither in .agekey nor in .asc, so it is not read as a key"))
		}
	}
}

// Identities are the age keys at hand.
func (r *Ring) Identities() []Identity { return slices.Clone(r.identities) }

// Skipped are the places that gave no key, with the reason.
func (r *Ring) Skipped() []Skipped { return slices.Clone(r.skipped) }

// Holds tells whether the private half of a recipient is at hand, and where.
func (r *Ring) Holds(recipient string) (place string, found bool) {
	for _, identity := range r.identities {
		if Same(identity.Recipient, recipient) {
			return identity.Place, true
		}
	}
	return "", false
}

func (r *Ring) private() []age.Identity {
	keys := make([]age.Identity, len(r.identities))
	for i, identity := range r.identities {
		keys[i] = identity.private
	}
	return keys
}
