package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
)

// Service is the ring as SOPS' key service. With remote, key management services are asked as well,
// with the credentials that the person's environment holds for them.
func (r *Ring) Service(remote bool) keyservice.KeyServiceClient {
	return service{ring: r, remote: remote}
}

type service struct {
	ring   *Ring
	remote bool
}

var errOffline = errors.New("key management services are not asked here")

// Encrypt implements keyservice.KeyServiceClient.
func (s service) Encrypt(ctx context.Context, request *keyservice.EncryptRequest, options ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	var (
		sealed []byte
		err    error
	)
	switch key := request.Key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		sealed, err = seal(key.AgeKey.Recipient, request.Plaintext)
	case *keyservice.Key_PgpKey:
		sealed, err = s.ring.openPGP.encrypt(key.PgpKey.Fingerprint, request.Plaintext)
	default:
		if !s.remote {
			return nil, errOffline
		}
		return keyservice.NewLocalClient().Encrypt(ctx, request, options...)
	}
	if err != nil {
		return nil, err
	}
	return &keyservice.EncryptResponse{Ciphertext: sealed}, nil
}

// Decrypt implements keyservice.KeyServiceClient.
func (s service) Decrypt(ctx context.Context, request *keyservice.DecryptRequest, options ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	var (
		opened []byte
		err    error
	)
	switch key := request.Key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		opened, err = s.ring.open(request.Ciphertext)
	case *keyservice.Key_PgpKey:
		opened, err = s.ring.openPGP.decrypt(key.PgpKey.Fingerprint, request.Ciphertext)
	default:
		if !s.remote {
			return nil, errOffline
		}
		return keyservice.NewLocalClient().Decrypt(ctx, request, options...)
	}
	if err != nil {
		return nil, err
	}
	return &keyservice.DecryptResponse{Plaintext: opened}, nil
}

// seal encrypts a data key to an age recipient, armored as SOPS stores it.
func seal(recipient string, dataKey []byte) ([]byte, error) {
	parsed, err := ParseRecipient(recipient)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	writer, err := age.Encrypt(armored, parsed)
	if err == nil {
		_, err = writer.Write(dataKey)
		err = errors.Join(err, writer.Close(), armored.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("encrypting to %s: %w", recipient, err)
	}
	return out.Bytes(), nil
}

// ErrNoKey says that no key at hand opens a data key.
var ErrNoKey = errors.New("no age key at hand opens it")

// open decrypts a data key. Which identity fits is not told by the file, so all are tried.
func (r *Ring) open(sealed []byte) ([]byte, error) {
	if len(r.identities) == 0 {
		return nil, ErrNoKey // age itself would be asked with none, and panic or look elsewhere
	}
	reader, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), r.private()...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, ErrNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("opening the data key: %w", err)
	}
	const longest = 1 << 16
	return io.ReadAll(io.LimitReader(reader, longest))
}
