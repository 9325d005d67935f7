package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"holdfast.dev/holdfast/internal/controller/source"
	"holdfast.dev/holdfast/internal/model/fault"
	"holdfast.dev/holdfast/internal/stage/source/git"
	"holdfast.dev/holdfast/internal/stage/source/git/verify"
)

// The reasons of the condition SourceVerified, as Flux gives them.
const (
	reasonMode   = "InvalidVerificationMode"
	reasonObject = "InvalidGitObject"
	reasonTag    = "InvalidTagSignature"
	reasonCommit = "InvalidCommitSignature"
)

// verify checks the signatures that the spec asks for, before anything of a commit is stored. All but a
// mode that cannot work is worth a retry: the keys may change, and so may the remote.
func (c *Controller) verify(ctx context.Context, object *sourcev1.GitRepository, result git.Result, o outcome) (outcome, error) {
	wanted := object.Spec.Verification
	if wanted == nil {
		return o, nil
	}
	keys, err := c.publicKeys(ctx, object)
	if err != nil {
		return o, fault.Because(sourcev1.VerificationError, err)
	}
	var found []string
	if wanted.VerifyTag() {
		signer, err := c.verifyTag(keys, result)
		if err != nil {
			return o, err
		}
		tag := result.Objects.Tag
		found = append(found, fmt.Sprintf("tag '%s@%s' with key '%s'", tag.Name, tag.Hash, signer.Key))
		o.Revision.Signature = signer.String()
	}
	if wanted.VerifyHEAD() {
		signer, err := keys.Commit(result.Commit.Hash, result.Objects.Commit, c.Now())
		if err != nil {
			return o, fault.Because(reasonCommit, fmt.Errorf("signature verification of commit '%s' failed: %w", result.Commit.Hash, err))
		}
		found = append(found, fmt.Sprintf("commit '%s' with key '%s'", result.Commit.Hash, signer.Key))
		o.Revision.Signature = signer.String()
	}
	o.Verified = "verified signature of\n\t- " + strings.Join(found, "\n\t- ")
	return o, nil
}

func (c *Controller) verifyTag(keys verify.Keys, result git.Result) (verify.Signer, error) {
	tag := result.Objects.Tag
	if tag == nil {
		return verify.Signer{}, fault.Stall(reasonMode, errors.New("cannot verify tag object's signature if a tag reference is not specified"))
	}
	name := tag.Name + "@" + tag.Hash
	unsigned := fmt.Errorf("cannot verify signature of tag '%s' since it is not signed", name)
	if tag.Content == nil {
		return verify.Signer{}, fault.Because(reasonObject, unsigned)
	}
	signer, err := keys.Tag(verify.Tag{Hash: tag.Hash, Content: tag.Content, Name: tag.Name, Commit: result.Commit.Hash}, c.Now())
	switch {
	case errors.Is(err, verify.ErrUnsigned):
		return signer, fault.Because(reasonObject, unsigned)
	case err != nil:
		return signer, fault.Because(reasonTag, fmt.Errorf("signature verification of tag '%s' failed: %w", name, err))
	}
	return signer, nil
}

// publicKeys reads the keys that the spec trusts.
func (c *Controller) publicKeys(ctx context.Context, object *sourcev1.GitRepository) (verify.Keys, error) {
	name := object.Spec.Verification.SecretRef.Name
	secret, err := source.Secret(ctx, c.Secrets, object.Namespace, name)
	if err != nil {
		return verify.Keys{}, fmt.Errorf("public keys secret error: %w", err)
	}
	keys, err := verify.ParseKeys(secret.Data)
	if err != nil {
		return verify.Keys{}, fmt.Errorf("public keys secret error: secret %s/%s: %w", object.Namespace, name, err)
	}
	return keys, nil
}

// unverified tells whether the artifact in the status was not verified as the spec wants it.
func unverified(object *sourcev1.GitRepository) bool {
	wanted := object.Spec.Verification
	if wanted == nil {
		return false
	}
	observed := object.Status.SourceVerificationMode
	if observed == nil || source.Condition(object.Status.Conditions, sourcev1.SourceVerifiedCondition).Status != metav1.ConditionTrue {
		return true
	}
	done := sourcev1.GitRepositoryVerification{Mode: *observed}
	return wanted.VerifyTag() && !done.VerifyTag() || wanted.VerifyHEAD() && !done.VerifyHEAD()
}
