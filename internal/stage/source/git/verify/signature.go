package verify

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// The reasons for which a signature is refused.
var (
	ErrUnsigned = errors.New("it is not signed")
	ErrUnknown  = errors.New("unable to verify payload with any of the given key rings: no trusted key made its signature")
	ErrExpired  = errors.New("the key of its signature is expired, or not valid yet")
	ErrRevoked  = errors.New("the key of its signature is revoked")
	ErrInvalid  = errors.New("its signature does not match its content")
)

// Signer is who made a signature.
type Signer struct {
	// Key is the key's identifier: 16 hex digits for OpenPGP, the fingerprint for SSH.
	Key string
	// Name is who the key belongs to, as the keys' file or the key itself says; it may be empty.
	Name string
}

// String names the signer for people.
func (s Signer) String() string {
	if s.Name == "" {
		return s.Key
	}
	return s.Name + " (" + s.Key + ")"
}

// maxSignature bounds the text of a signature.
const maxSignature = 64 << 10

func (k Keys) verify(s signed, now time.Time) (Signer, error) {
	switch {
	case len(s.signature) == 0:
		return Signer{}, ErrUnsigned
	case len(s.signature) > maxSignature:
		return Signer{}, errors.New("its signature is too large")
	case bytes.HasPrefix(s.signature, []byte("-----BEGIN SSH SIGNATURE-----")):
		return k.verifySSH(s, now)
	case bytes.HasPrefix(s.signature, []byte("-----BEGIN PGP SIGNATURE-----")):
		return k.verifyOpenPGP(s, now)
	default:
		return Signer{}, errors.New("its signature is neither of OpenPGP nor of SSH")
	}
}

// verifyOpenPGP checks a detached signature of OpenPGP.
func (k Keys) verifyOpenPGP(s signed, now time.Time) (Signer, error) {
	if err := unarmored(s.signature, "PGP SIGNATURE"); err != nil {
		return Signer{}, err
	}
	block, err := armor.Decode(bytes.NewReader(s.signature))
	if err != nil || block.Type != "PGP SIGNATURE" {
		return Signer{}, errors.New("its signature is malformed")
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil {
		return Signer{}, errors.New("its signature is malformed")
	}
	if err := onlyOne(raw); err != nil {
		return Signer{}, err
	}
	config := &packet.Config{
		Time:                        func() time.Time { return now },
		RejectMessageHashAlgorithms: map[crypto.Hash]bool{crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true},
	}
	entity, err := openpgp.CheckDetachedSignature(k.openPGP, bytes.NewReader(s.payload), bytes.NewReader(raw), config)
	switch {
	case errors.Is(err, openpgperrors.ErrUnknownIssuer):
		return Signer{}, ErrUnknown
	case errors.Is(err, openpgperrors.ErrKeyExpired), errors.Is(err, openpgperrors.ErrSignatureExpired):
		return Signer{}, ErrExpired
	case errors.Is(err, openpgperrors.ErrKeyRevoked):
		return Signer{}, ErrRevoked
	case err != nil:
		return Signer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case entity == nil:
		return Signer{}, ErrInvalid
	case entity.Revoked(now):
		return Signer{}, ErrRevoked
	}
	signer := Signer{Key: fmt.Sprintf("%016X", entity.PrimaryKey.KeyId)}
	if identity := entity.PrimaryIdentity(); identity != nil {
		signer.Name = printable(identity.Name)
	}
	return signer, nil
}

// onlyOne checks that there is one signature, of a document as it is. Of two, the first good one would
// count, whatever the other says.
func onlyOne(raw []byte) error {
	packets := packet.NewReader(bytes.NewReader(raw))
	first, err := packets.Next()
	if err != nil {
		return errors.New("its signature is malformed")
	}
	signature, isSignature := first.(*packet.Signature)
	if !isSignature || signature.SigType != packet.SigTypeBinary {
		return errors.New("its signature is not one of a document as it is")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return errors.New("it has more than one signature")
	}
	return nil
}

// namespace is what a signature of SSH is for: one for another purpose must not count.
const namespace = "git"

// sshSignature is the content of a signature of SSH (PROTOCOL.sshsig of OpenSSH).
type sshSignature struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte
}

const sshMagic = "SSHSIG"

// verifySSH checks a signature of SSH.
func (k Keys) verifySSH(s signed, now time.Time) (Signer, error) {
	parsed, err := parseSSHSignature(s.signature)
	if err != nil {
		return Signer{}, err
	}
	var digest []byte
	switch parsed.Hash {
	case "sha256":
		sum := sha256.Sum256(s.payload)
		digest = sum[:]
	case "sha512":
		sum := sha512.Sum512(s.payload)
		digest = sum[:]
	default:
		return Signer{}, errors.New("its signature uses a digest that is not safe")
	}
	var signature ssh.Signature
	if err := ssh.Unmarshal(parsed.Signature, &signature); err != nil {
		return Signer{}, errors.New("its signature is malformed")
	}
	if signature.Format == ssh.KeyAlgoRSA {
		return Signer{}, errors.New("its signature uses SHA-1, which is not safe")
	}
	covered := append([]byte(sshMagic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{parsed.Namespace, string(parsed.Reserved), parsed.Hash, digest})...)
	outcome := ErrUnknown
	for _, trusted := range k.ssh {
		if !bytes.Equal(trusted.key.Marshal(), parsed.PublicKey) {
			continue
		}
		switch {
		case trusted.key.Verify(covered, &signature) != nil:
			return Signer{}, ErrInvalid
		case !trusted.after.IsZero() && now.Before(trusted.after), !trusted.before.IsZero() && !now.Before(trusted.before):
			outcome = ErrExpired // another line may trust the same key for another time
		default:
			return Signer{Key: ssh.FingerprintSHA256(trusted.key), Name: printable(trusted.who)}, nil
		}
	}
	return Signer{}, outcome
}

func parseSSHSignature(armored []byte) (sshSignature, error) {
	var parsed sshSignature
	if err := unarmored(armored, "SSH SIGNATURE"); err != nil {
		return parsed, err
	}
	lines := strings.Split(strings.TrimRight(string(armored), "\n"), "\n")
	blob, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		return parsed, errors.New("its signature is malformed")
	}
	content, found := bytes.CutPrefix(blob, []byte(sshMagic))
	if !found || ssh.Unmarshal(content, &parsed) != nil || parsed.Version != 1 {
		return parsed, errors.New("its signature is malformed")
	}
	if parsed.Namespace != namespace {
		return parsed, errors.New("its signature was made for another purpose than Git")
	}
	return parsed, nil
}

// printable makes text of others fit for messages and records.
func printable(text string) string {
	const longest = 200
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
