package document

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/version"

	"holdfast.dev/holdfast/internal/secret/keyring"
)

// The reasons for which a file is not what an operation needs.
var (
	ErrPlain     = errors.New("it is not encrypted")
	ErrEncrypted = errors.New("it is encrypted already")
	ErrEmpty     = errors.New("it holds nothing to encrypt")
	ErrTampered  = errors.New("its content does not match its MAC: it was changed without its key")
	ErrNoKeys    = errors.New("the rule names no recipient")
	ErrUnmatched = errors.New("the rule encrypts nothing in it")
)

// Rule says to whom a file is encrypted, and what of it.
type Rule struct {
	Groups    []sops.KeyGroup
	Threshold int // of groups that are needed to open it; 0 means all

	UnencryptedSuffix, EncryptedSuffix             string
	UnencryptedRegex, EncryptedRegex               string
	UnencryptedCommentRegex, EncryptedCommentRegex string
	MACOnlyEncrypted                               bool
	Style                                          *Style
}

// metadata is what sops writes down of a rule. Without a word about what to encrypt, all is encrypted
// but values whose names end in _unencrypted.
func (r Rule) metadata() sops.Metadata {
	if r.UnencryptedSuffix+r.EncryptedSuffix+r.UnencryptedRegex+r.EncryptedRegex+r.UnencryptedCommentRegex+r.EncryptedCommentRegex == "" {
		r.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	return sops.Metadata{
		KeyGroups:               r.Groups,
		ShamirThreshold:         r.Threshold,
		UnencryptedSuffix:       r.UnencryptedSuffix,
		EncryptedSuffix:         r.EncryptedSuffix,
		UnencryptedRegex:        r.UnencryptedRegex,
		EncryptedRegex:          r.EncryptedRegex,
		UnencryptedCommentRegex: r.UnencryptedCommentRegex,
		EncryptedCommentRegex:   r.EncryptedCommentRegex,
		MACOnlyEncrypted:        r.MACOnlyEncrypted,
		Version:                 version.Version,
	}
}

// Sealed is an encrypted file as it was read.
type Sealed struct {
	format Format
	store  sops.Store
	tree   sops.Tree
}

// Read reads an encrypted file; ErrPlain says that it is none.
func Read(name string, content []byte, style *Style) (*Sealed, error) {
	s := &Sealed{format: FormatOf(name)}
	s.store = s.format.store(style)
	err := guarded(func() (err error) {
		s.tree, err = s.store.LoadEncryptedFile(content)
		return err
	})
	switch {
	case errors.Is(err, sops.MetadataNotFound):
		return nil, ErrPlain
	case err != nil && !bytes.Contains(content, []byte("sops")):
		return nil, ErrPlain
	case err != nil:
		return nil, fmt.Errorf("reading it as an encrypted file of format %s: %w", s.format, silent(err))
	}
	s.tree.FilePath = name
	return s, nil
}

// guarded turns a panic into an error: the library trusts files more than we do.
func guarded(act func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is malformed")
		}
	}()
	return act()
}

// silent keeps what is known to be free of content of an error by a parser, which may quote the file.
func silent(err error) error {
	text := err.Error()
	if i := strings.Index(text, "line "); i >= 0 {
		digits := strings.TrimLeft(text[i+len("line "):], "0123456789")
		return errors.New("it is malformed at " + text[i:len(text)-len(digits)])
	}
	return errors.New("it is malformed")
}

// Opened is a file in plain text, with the key that it was or is to be sealed with.
type Opened struct {
	Sealed
	cipher  aes.Cipher // remembers how each value was encrypted, so that what stays the same looks the same
	dataKey []byte     // nil until there is one
	rule    *Rule
}

// Open decrypts a file, and checks that it is as it was sealed.
func (s *Sealed) Open(_ context.Context, ring *keyring.Ring, remote bool) (*Opened, error) {
	o := &Opened{Sealed: *s, cipher: aes.NewCipher()}
	err := guarded(func() (err error) {
		o.dataKey, err = o.tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{ring.Service(remote)}, sops.DefaultDecryptionOrder)
		return err
	})
	if err != nil {
		return nil, &KeyError{Recipients: s.Recipients(), Identities: ring.Identities(), Skipped: ring.Skipped()}
	}
	var computed string
	err = guarded(func() (err error) {
		computed, err = o.tree.Decrypt(o.dataKey, o.cipher)
		return err
	})
	if err != nil {
		return nil, ErrTampered
	}
	stated, err := o.cipher.Decrypt(o.tree.Metadata.MessageAuthenticationCode, o.dataKey, o.tree.Metadata.LastModified.Format(time.RFC3339))
	text, isText := stated.(string)
	if err != nil || !isText || subtle.ConstantTimeCompare([]byte(text), []byte(computed)) != 1 {
		return nil, ErrTampered
	}
	return o, nil
}

// Plain reads a plain file that is to be sealed by a rule.
func Plain(name string, content []byte, rule Rule) (*Opened, error) {
	o := &Opened{Sealed: Sealed{format: FormatOf(name)}, cipher: aes.NewCipher(), rule: &rule}
	o.store = o.format.store(rule.Style)
	o.tree = sops.Tree{Metadata: rule.metadata(), FilePath: name}
	return o, o.Replace(content)
}

// Replace puts other plain content in the place of the file's.
func (o *Opened) Replace(content []byte) error {
	var branches sops.TreeBranches
	err := guarded(func() (err error) {
		branches, err = o.store.LoadPlainFile(content)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("reading it as a file of format %s: %w", o.format, silent(err))
	case len(branches) == 0:
		return ErrEmpty
	case o.store.HasSopsTopLevelKey(branches[0]):
		return ErrEncrypted
	}
	o.tree.Branches = branches
	return nil
}

// Plain returns the file in plain text.
func (o *Opened) Plain() ([]byte, error) {
	var out []byte
	err := guarded(func() (err error) {
		out, err = o.store.EmitPlainFile(o.tree.Branches)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("writing it as a file of format %s: %w", o.format, silent(err))
	}
	return out, nil
}

// Rekey lets the file be sealed by a rule, with a data key that nobody has seen yet.
func (o *Opened) Rekey(rule Rule) {
	o.rule, o.dataKey, o.cipher = &rule, nil, aes.NewCipher()
	o.tree.Metadata = rule.metadata()
	o.store = o.format.store(rule.Style)
}

// Seal encrypts the file, and returns its content. The document must not be used after it.
func (o *Opened) Seal(_ context.Context, ring *keyring.Ring) ([]byte, error) {
	if o.dataKey == nil {
		if err := o.newDataKey(ring); err != nil {
			return nil, err
		}
	}
	var mac string
	err := guarded(func() (err error) {
		mac, err = o.tree.Encrypt(o.dataKey, o.cipher)
		return err
	})
	if err != nil {
		return nil, errors.New("encrypting its values: it holds a value that cannot be encrypted")
	}
	if o.rule != nil && !o.encryptsAnything() {
		return nil, ErrUnmatched
	}
	metadata := &o.tree.Metadata
	metadata.LastModified = time.Now().UTC()
	metadata.MessageAuthenticationCode, err = o.cipher.Encrypt(mac, o.dataKey, metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, fmt.Errorf("encrypting its MAC: %w", err)
	}
	metadata.DataKey = nil
	var out []byte
	err = guarded(func() (err error) {
		out, err = o.store.EmitEncryptedFile(o.tree)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("writing it as a file of format %s: %w", o.format, silent(err))
	}
	return out, nil
}

func (o *Opened) newDataKey(ring *keyring.Ring) error {
	metadata := &o.tree.Metadata
	if metadata.MasterKeyCount() == 0 {
		return ErrNoKeys
	}
	o.dataKey = make([]byte, 32)
	if _, err := rand.Read(o.dataKey); err != nil {
		return fmt.Errorf("making a data key: %w", err)
	}
	var problems []error
	err := guarded(func() error {
		problems = metadata.UpdateMasterKeysWithKeyServices(o.dataKey, []keyservice.KeyServiceClient{ring.Service(true)})
		return nil
	})
	return errors.Join(append(problems, err)...)
}

// encryptsAnything tells whether one value at least is encrypted now.
func (o *Opened) encryptsAnything() bool {
	for _, branch := range o.tree.Branches {
		if anyEncrypted(branch) {
			return true
		}
	}
	return false
}

func anyEncrypted(value any) bool {
	switch value := value.(type) {
	case sops.TreeBranch:
		for _, item := range value {
			if anyEncrypted(item.Value) {
				return true
			}
		}
	case []any:
		for _, item := range value {
			if anyEncrypted(item) {
				return true
			}
		}
	case string:
		return strings.HasPrefix(value, "ENC[AES256_GCM,")
	}
	return false
}

func services(ring *keyring.Ring) []keyservice.KeyServiceClient {
	return []keyservice.KeyServiceClient{ring.Service(false)}
}
