package document

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"

	"github.com/getsops/sops/v3/keys"

	"holdfast.dev/holdfast/internal/secret/keyring"
)

// Recipient is one key that a file is encrypted for.
type Recipient struct {
	Type string // age, ssh, pgp, aws-kms, gcp-kms, azure-kv, vault, huawei-kms
	Name string
	// Since is when the data key was encrypted for it; zero where the format does not tell.
	Since time.Time
}

// Recipients lists the keys that the file is encrypted for.
func (s *Sealed) Recipients() []Recipient { return recipients(s.tree.Metadata.KeyGroups) }

// Recipients lists the keys that the rule names.
func (r Rule) Recipients() []Recipient { return recipients(r.Groups) }

func recipients(groups []sops.KeyGroup) []Recipient {
	var found []Recipient
	for _, group := range groups {
		for _, key := range group {
			found = append(found, recipientOf(key))
		}
	}
	return found
}

func recipientOf(key keys.MasterKey) Recipient {
	r := Recipient{Name: key.ToString()}
	switch key := key.(type) {
	case *age.MasterKey:
		r.Type, r.Name = "age", keyring.Canonical(key.Recipient)
		if strings.HasPrefix(key.Recipient, "ssh-") {
			r.Type = "ssh"
		}
	case *pgp.MasterKey:
		r.Type, r.Since = "pgp", key.CreationDate
	case *kms.MasterKey:
		r.Type, r.Since = "aws-kms", key.CreationDate
	case *gcpkms.MasterKey:
		r.Type, r.Since = "gcp-kms", key.CreationDate
	case *azkv.MasterKey:
		r.Type, r.Since = "azure-kv", key.CreationDate
	case *hcvault.MasterKey:
		r.Type, r.Since = "vault", key.CreationDate
	case *hckms.MasterKey:
		r.Type, r.Since = "huawei-kms", key.CreationDate
	default:
		r.Type = key.TypeToIdentifier()
	}
	return r
}

// Modified is when the file was sealed.
func (s *Sealed) Modified() time.Time { return s.tree.Metadata.LastModified }

// Opens tells whether the keys of a ring open the file, without asking any service.
func (s *Sealed) Opens(ring *keyring.Ring) bool {
	metadata := s.tree.Metadata // a copy: what is found out is not kept
	return guarded(func() error {
		_, err := metadata.GetDataKeyWithKeyServices(services(ring), sops.DefaultDecryptionOrder)
		return err
	}) == nil
}

// Difference tells who is in one list and not in the other.
func Difference(have, want []Recipient) (added, removed []Recipient) {
	lacks := func(list []Recipient) func(Recipient) bool {
		return func(one Recipient) bool {
			return !slices.ContainsFunc(list, func(other Recipient) bool { return one.Type == other.Type && one.Name == other.Name })
		}
	}
	for _, one := range want {
		if lacks(have)(one) {
			added = append(added, one)
		}
	}
	for _, one := range have {
		if lacks(want)(one) {
			removed = append(removed, one)
		}
	}
	return added, removed
}

// KeyError says that no key at hand opens a file, and what would.
type KeyError struct {
	Recipients []Recipient
	Identities []keyring.Identity
	Skipped    []keyring.Skipped
}

// Error implements error.
func (e *KeyError) Error() string {
	names := make([]string, len(e.Recipients))
	for i, one := range e.Recipients {
		names[i] = one.Name
	}
	return fmt.Sprintf("none of the %d keys at hand opens it: it is encrypted for %s", len(e.Identities), strings.Join(names, ", "))
}

// Hint says what to do.
func (e *KeyError) Hint() string {
	var have []string
	for _, identity := range e.Identities {
		have = append(have, fmt.Sprintf("%s (%s)", identity.Recipient, identity.Place))
	}
	text := "no key is at hand"
	if len(have) > 0 {
		text = "the keys at hand are " + strings.Join(have, ", ")
	}
	return text + "; name another with --key-file, or use the cluster's with --cluster-keys"
}
