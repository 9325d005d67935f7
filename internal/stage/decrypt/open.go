package decrypt

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/logging"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/model/sealed"
)

// MaxBytes is the size of the largest box that is opened; it is Flux's.
const MaxBytes = 5 << 20

// Quiet keeps SOPS from writing to the standard error of the process: what it has to say quotes values.
func Quiet() {
	for _, logger := range logging.Loggers {
		logger.SetOutput(discard{})
	}
}

type discard struct{}

// Write implements io.Writer.
func (discard) Write(text []byte) (int, error) { return len(text), nil }

// store is what SOPS's formats have in common.
type store interface {
	LoadEncryptedFile(in []byte) (sops.Tree, error)
	EmitPlainFile(in sops.TreeBranches) ([]byte, error)
}

// storeOf returns the reader and writer of a format, set up as Flux does: the hashes in the names of
// generated Secrets depend on every byte.
func storeOf(format sealed.Format) store {
	switch format {
	case sealed.YAML:
		return yaml.NewStore(&config.YAMLStoreConfig{})
	case sealed.JSON:
		return json.NewStore(&config.JSONStoreConfig{Indent: -1})
	case sealed.Dotenv:
		return dotenv.NewStore(&config.DotenvStoreConfig{})
	case sealed.INI:
		return ini.NewStore(&config.INIStoreConfig{})
	default:
		return json.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1})
	}
}

// Open opens a box. Its errors are of the type Error, or say that ctx has ended.
func (k *Keyring) Open(ctx context.Context, box sealed.Box) (plain sealed.Plain, err error) {
	defer func() {
		if recover() != nil { // SOPS panics on some input; what it says could quote values
			plain, err = sealed.Plain{}, fail(Damaged, box, "its SOPS data cannot be read: the file is damaged, restore it from the history")
		}
	}()
	if size := max(len(box.Data), len(box.Original)); size > MaxBytes {
		return sealed.Plain{}, fail(Damaged, box, "it has %d bytes, more than the %d that are decrypted at most: make several files of it", size, MaxBytes)
	}
	tree, err := load(box, box.In, box.Data)
	if err != nil {
		return sealed.Plain{}, err
	}
	key, err := k.dataKey(ctx, box, &tree.Metadata)
	if err != nil {
		return sealed.Plain{}, err
	}
	defer clear(key)
	if len(box.Original) > 0 {
		if err := k.verifyOriginal(box, key); err != nil {
			return sealed.Plain{}, err
		}
	}
	values, err := k.values(box, tree, key, len(box.Original) == 0 && !box.Changed)
	if err != nil {
		return sealed.Plain{}, err
	}
	data, err := emit(box, tree.Branches)
	if err != nil {
		return sealed.Plain{}, err
	}
	return sealed.Plain{Data: data, Values: values}, nil
}

func load(box sealed.Box, format sealed.Format, data []byte) (sops.Tree, error) {
	tree, err := storeOf(format).LoadEncryptedFile(data)
	if err != nil {
		return sops.Tree{}, fail(Damaged, box, "its SOPS data is incomplete%s: the file was cut short or edited by hand, restore it from the history", lineOf(err))
	}
	return tree, nil
}

// lineOf returns the number of the line that a parser complains about. The rest of what it says could
// quote the file.
func lineOf(err error) string {
	_, rest, found := strings.Cut(err.Error(), "line ")
	if !found {
		return ""
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if digits == 0 {
		return ""
	}
	return " at line " + rest[:digits]
}

// verifyOriginal checks that the file that a box was made of is as SOPS left it.
func (k *Keyring) verifyOriginal(box sealed.Box, key []byte) error {
	file := sealed.Box{Path: box.Path}
	original, err := load(file, box.OriginalFormat, box.Original)
	if err != nil {
		return err
	}
	_, err = k.values(file, original, key, true)
	return err
}

// values decrypts the values of a tree in place, and returns them as they are then.
func (k *Keyring) values(box sealed.Box, tree sops.Tree, key []byte, verify bool) ([]redact.Text, error) {
	cipher := &cipher{Cipher: aes.NewCipher()}
	mac, err := tree.Decrypt(key, cipher)
	switch {
	case err != nil && cipher.plain:
		return nil, fail(Damaged, box, "its value %s is not encrypted, but should be: encrypt the file anew (sops --encrypt)", cipher.at)
	case err != nil:
		return nil, fail(Damaged, box, "its value %s was changed or moved after it was encrypted: restore the file from the history, or encrypt it anew", cipher.at)
	case !verify || k.options.IgnoreMAC:
		return cipher.values, nil
	}
	stated, err := aes.NewCipher().Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || stated != mac {
		return nil, fail(Damaged, box, "it was changed after it was encrypted, and its MAC says so: restore it from the history, or edit it with sops")
	}
	return cipher.values, nil
}

// cipher is SOPS's own, and takes note of what it decrypts and of where it fails.
type cipher struct {
	aes.Cipher
	values []redact.Text
	at     string
	plain  bool // the value that failed is not encrypted
}

// Decrypt implements sops.Cipher.
func (c *cipher) Decrypt(text string, key []byte, where string) (any, error) {
	value, err := c.Cipher.Decrypt(text, key, where)
	if err != nil {
		c.at, c.plain = strings.ReplaceAll(strings.TrimSuffix(where, ":"), ":", "."), !strings.HasPrefix(text, sealed.Value)
		return nil, errDataKey // the cipher's own error quotes the text
	}
	switch value := value.(type) {
	case string:
		c.note(value)
	case []byte:
		c.note(string(value))
	case int:
		c.note(strconv.Itoa(value))
	case float64:
		c.note(strconv.FormatFloat(value, 'f', -1, 64))
	case sops.Comment:
		c.note(value.Value)
	}
	return value, nil
}

func (c *cipher) note(value string) {
	if value != "" {
		c.values = append(c.values, redact.Text(value))
	}
}

// emit writes decrypted branches in the wanted format, where they fit into it.
func emit(box sealed.Box, branches sops.TreeBranches) ([]byte, error) {
	out := box.Out
	if out == sealed.Binary && !isEnvelope(branches) {
		out = box.In // it was never a file of any other format
	}
	data, err := storeOf(out).EmitPlainFile(branches)
	if err != nil {
		return nil, fail(Damaged, box, "what is in it cannot be written as %s: give it a name with the extension of its format, %s", out, box.In)
	}
	return data, nil
}

// isEnvelope tells whether branches are what SOPS makes of a file of a format that it does not know.
func isEnvelope(branches sops.TreeBranches) bool {
	if len(branches) != 1 || len(branches[0]) != 1 {
		return false
	}
	_, text := branches[0][0].Value.(string)
	return text && fmt.Sprint(branches[0][0].Key) == "data"
}
