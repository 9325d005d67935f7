package kms

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/getsops/sops/v3/keyservice"
	"sigs.k8s.io/yaml"
)

// awsAccount holds static credentials.
type awsAccount struct{ keys aws.Credentials }

// Retrieve implements aws.CredentialsProvider.
func (a *awsAccount) Retrieve(context.Context) (aws.Credentials, error) { return a.keys, nil }

// SetAWS reads credentials for AWS, in the form that Flux has for them.
func (c *Credentials) SetAWS(text []byte) error {
	var held struct {
		ID      string `json:"aws_access_key_id"`
		Secret  string `json:"aws_secret_access_key"`
		Session string `json:"aws_session_token"`
	}
	if err := yaml.Unmarshal(text, &held); err != nil {
		return errors.New("it is no YAML")
	}
	if held.ID == "" || held.Secret == "" {
		return errors.New("it wants the fields aws_access_key_id and aws_secret_access_key")
	}
	c.aws = &awsAccount{aws.Credentials{AccessKeyID: held.ID, SecretAccessKey: held.Secret, SessionToken: held.Session, Source: "Secret"}}
	return nil
}

// arn has the region of a key. It becomes a part of a host's name.
var arn = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]+:(?:key|alias)/.+$`)

func (c *Credentials) askAWS(ctx context.Context, reach Reach, key *keyservice.KmsKey, ciphertext []byte) ([]byte, error) {
	match := arn.FindStringSubmatch(key.GetArn())
	if match == nil {
		return nil, fmt.Errorf("%s is no name of a key in AWS KMS", key.GetArn())
	}
	if key.GetAwsProfile() != "" {
		return nil, errors.New("it names a profile of AWS, which only a person's machine has: encrypt the file without one")
	}
	blob, err := base64.StdEncoding.DecodeString(string(ciphertext))
	if err != nil {
		return nil, errors.New("its data key for AWS KMS is damaged: restore the file from the history")
	}
	region := match[1]
	provider, err := c.amazon(ctx, region)
	if err != nil {
		return nil, err
	}
	if key.GetRole() != "" {
		if provider, err = assume(ctx, reach, sts.Options{Region: region, Credentials: provider}, key.GetRole()); err != nil {
			return nil, err
		}
	}
	client := kms.New(kms.Options{
		Region: region, Credentials: provider, HTTPClient: reach.cloudClient(reach.AWS), BaseEndpoint: standIn(reach.AWS),
	})
	answer, err := client.Decrypt(ctx, &kms.DecryptInput{KeyId: aws.String(key.GetArn()), CiphertextBlob: blob, EncryptionContext: key.GetContext()})
	if err != nil {
		return nil, awsError("AWS KMS", key.GetArn(), err)
	}
	return answer.Plaintext, nil
}

// assume takes over a role that a file names. AWS decides whether the credentials may.
func assume(ctx context.Context, reach Reach, options sts.Options, role string) (aws.CredentialsProvider, error) {
	options.HTTPClient, options.BaseEndpoint = reach.cloudClient(reach.AWS), standIn(reach.AWS)
	answer, err := sts.New(options).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("holdfast")})
	if err != nil {
		return nil, awsError("AWS STS", role, err)
	}
	held := answer.Credentials
	if held == nil {
		return nil, errors.New("AWS STS gives no credentials for " + role)
	}
	return &awsAccount{aws.Credentials{
		AccessKeyID: aws.ToString(held.AccessKeyId), SecretAccessKey: aws.ToString(held.SecretAccessKey), SessionToken: aws.ToString(held.SessionToken),
	}}, nil
}

func standIn(address string) *string {
	if address == "" {
		return nil
	}
	return &address
}

// awsError keeps the code of an error: AWS's messages name accounts and may go on for long.
func awsError(service, about string, err error) error {
	var told smithy.APIError
	if !errors.As(err, &told) {
		return unavailable(service, err)
	}
	if told.ErrorFault() == smithy.FaultServer || told.ErrorCode() == "ThrottlingException" || told.ErrorCode() == "KMSInternalException" {
		return fmt.Errorf("%w: %s answers %s", ErrUnavailable, service, told.ErrorCode())
	}
	return fmt.Errorf("%s refuses %s: %s", service, about, told.ErrorCode())
}
