package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"

	"holdfast.dev/holdfast/internal/model/sealed"
	"holdfast.dev/holdfast/internal/stage/decrypt/kms"
)

// Why a single encrypted data key did not open.
var (
	errNoKey   = errors.New("no key")
	errDataKey = errors.New("encrypted data key is damaged")
)

// session answers SOPS's questions for the data key of one box, from one keyring and nothing else. It is
// SOPS's key service, without the process-wide sources of keys that SOPS's own has.
type session struct {
	ctx      context.Context //nolint:containedctx // SOPS passes none on
	ring     *Keyring
	attempts []attempt
}

type attempt struct {
	recipient string
	service   bool // the recipient is a key service
	err       error
}

var _ keyservice.KeyServiceClient = (*session)(nil)

// Encrypt implements keyservice.KeyServiceClient. Nothing here encrypts.
func (s *session) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errors.ErrUnsupported
}

// Decrypt implements keyservice.KeyServiceClient.
func (s *session) Decrypt(_ context.Context, request *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	tried := attempt{recipient: kms.NameOf(request.GetKey())}
	var key []byte
	switch wanted := request.GetKey().GetKeyType().(type) {
	case *keyservice.Key_AgeKey:
		key, tried.err = s.ring.openAge(wanted.AgeKey.GetRecipient(), request.GetCiphertext())
	case *keyservice.Key_PgpKey:
		key, tried.err = s.ring.openPGP(wanted.PgpKey.GetFingerprint(), request.GetCiphertext())
	default:
		tried.service = true
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		key, tried.err = s.ring.services.Decrypt(s.ctx, s.ring.options.Reach, request.GetKey(), request.GetCiphertext()) //nolint:contextcheck // SOPS brings no context of its own; the session's is the caller's
		if errors.Is(tried.err, kms.ErrNoCredentials) {
			tried.err = fmt.Errorf("%w: %w", errNoKey, tried.err)
		}
	}
	s.attempts = append(s.attempts, tried)
	if tried.err != nil {
		return nil, tried.err
	}
	return &keyservice.DecryptResponse{Plaintext: key}, nil
}

// dataKeySize is the size of a key of SOPS's cipher.
const dataKeySize = 32

// dataKey finds the key that the values of a box are encrypted with.
func (k *Keyring) dataKey(ctx context.Context, box sealed.Box, metadata *sops.Metadata) ([]byte, error) {
	s := &session{ctx: ctx, ring: k}
	key, err := metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{s}, sops.DefaultDecryptionOrder)
	metadata.DataKey = nil
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, s.explain(box, metadata)
	case len(key) != dataKeySize:
		return nil, fail(Damaged, box, "its data key has %d bytes instead of %d: the file is damaged, restore it from the history", len(key), dataKeySize)
	}
	return key, nil
}

// explain says why no data key was found: what is wrong in the likeliest place, and what to do.
func (s *session) explain(box sealed.Box, metadata *sops.Metadata) *Error {
	var recipients, damaged, wants []string
	for _, tried := range s.attempts {
		switch {
		case errors.Is(tried.err, kms.ErrUnavailable):
			return fail(Unavailable, box, "%v", tried.err)
		case tried.service && tried.err != nil && !errors.Is(tried.err, errNoKey):
			return fail(Refused, box, "%v", tried.err)
		case errors.Is(tried.err, errDataKey):
			damaged = append(damaged, tried.recipient)
		case tried.err != nil:
			recipients = append(recipients, tried.recipient)
			if tried.service {
				wants = append(wants, strings.TrimPrefix(tried.err.Error(), errNoKey.Error()+": "))
			}
		}
	}
	switch {
	case len(damaged) > 0:
		return fail(Damaged, box, "its data key for %s does not open although that key is at hand: the file is damaged, restore it from the history", list(damaged))
	case len(s.attempts) == 0:
		return fail(Damaged, box, "it names nobody that it was encrypted for: the file is damaged, restore it from the history")
	}
	shares := ""
	if len(metadata.KeyGroups) > 1 {
		shares = fmt.Sprintf(" in %d groups, of which %d must open", len(metadata.KeyGroups), max(metadata.ShamirThreshold, 1))
	}
	return fail(NoKey, box, "it was encrypted for %s%s; %s", list(recipients), shares, s.ring.advice(wants))
}

// advice says which keys are at hand and what to do when none of them fits. Wants are what key services
// would take.
func (k *Keyring) advice(wants []string) string {
	var said []string
	switch names := k.Recipients(); {
	case k.origin == "" && k.services.Holder().Known():
		said = append(said, "the unit names no keys, and asks key services as "+k.services.Holder().Account().String())
	case k.origin == "":
		said = append(said, "the unit names no keys: set spec.decryption.secretRef to a Secret with one")
	case len(names) == 0:
		said = append(said, k.origin+" has no key that is read")
	default:
		said = append(said, "the keys in "+k.origin+" are for "+list(names))
	}
	said = append(said, k.misnamed...)
	if len(wants) > 0 {
		said = append(said, wants[0])
		return strings.Join(said, "; ")
	}
	if k.origin != "" && len(k.misnamed) == 0 {
		said = append(said, "add the key of one of the recipients to it (age: a name ending in "+suffixAge+", PGP: "+suffixPGP+"), or encrypt the file for a key that is there (sops updatekeys)")
	}
	return strings.Join(said, "; ")
}
