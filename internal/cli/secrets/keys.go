package secrets

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/cli/fleet"
	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/secret/keyring"
)

// The Secret with a cluster's key, as the Kustomizations of Flux's guides name it.
const (
	secretName = "sops-age"
	secretKey  = "age.agekey"
)

// keyFlags choose the keys that files are opened with.
type keyFlags struct {
	cluster Cluster
	files   []string
	remote  bool
}

func (f *keyFlags) register(command *cobra.Command) {
	set := command.Flags()
	set.StringArrayVar(&f.files, "key-file", nil, "file with an age or SSH private key to open files with (may be repeated)")
	set.BoolVar(&f.remote, "cluster-keys", false, "open files with the key of the cluster, in its Secret "+secretName)
	_ = command.MarkFlagFilename("key-file")
}

// ring collects the keys.
func (f *keyFlags) ring(ctx context.Context) (*keyring.Ring, error) {
	home, _ := os.UserHomeDir() // without one, nothing is looked for there
	config, _ := os.UserConfigDir()
	options := keyring.Options{Env: os.LookupEnv, Home: home, Config: config, Files: f.files}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		options.Ask = askPassphrase
	}
	ring, err := keyring.Load(options)
	if err != nil || !f.remote {
		return ring, err
	}
	reached, err := f.cluster.connect()
	if err != nil {
		return nil, err
	}
	secret, err := reached.secret(ctx)
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return nil, hinted(fmt.Errorf("reading the key of the cluster: there is no Secret %s/%s", reached.namespace, secretName),
			"`holdfast secrets init --env NAME` makes one; -n chooses another namespace")
	}
	data := map[string]redact.Bytes{}
	for name, value := range secret.Data {
		data[name] = value
	}
	ring.AddSecret(fmt.Sprintf("Secret %s/%s", reached.namespace, secretName), data)
	return ring, nil
}

func askPassphrase(of string) ([]byte, error) {
	fmt.Fprintf(os.Stderr, "Passphrase of %s: ", of)
	defer fmt.Fprintln(os.Stderr)
	return term.ReadPassword(int(os.Stdin.Fd()))
}

// reached is a cluster that can be asked.
type reached struct {
	client    client.Client
	host      string
	namespace string
}

func (c Cluster) connect() (*reached, error) {
	config, err := c.Reach()
	if err != nil {
		return nil, err
	}
	connected, err := fleet.Connect(config)
	if err != nil {
		return nil, err
	}
	return &reached{client: connected.Client(), host: config.Host, namespace: c.Namespace()}, nil
}

// secret reads the Secret with the cluster's key; nil says that there is none.
func (r *reached) secret(ctx context.Context) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := r.client.Get(ctx, types.NamespacedName{Namespace: r.namespace, Name: secretName}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", r.namespace, secretName, err)
	}
	return &secret, nil
}

// store makes the Secret, and its namespace where that is missing. It never replaces one.
func (r *reached) store(ctx context.Context, key redact.Bytes) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	err := r.client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
	if apierrors.IsNotFound(err) {
		err = client.IgnoreAlreadyExists(r.client.Create(ctx, namespace))
	}
	if err != nil {
		return fmt.Errorf("making namespace %s: %w", r.namespace, err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: secretName},
		Data:       map[string][]byte{secretKey: key.Reveal()},
	}
	if err := r.client.Create(ctx, secret); err != nil {
		return fmt.Errorf("storing the key in Secret %s/%s: %w", r.namespace, secretName, err)
	}
	return nil
}

var errNoRecipient = errors.New("it holds no age key that can be read")

// recipientIn returns the public half of the key in a Secret.
func recipientIn(secret *corev1.Secret) (string, error) {
	ring := &keyring.Ring{}
	data := map[string]redact.Bytes{}
	for name, value := range secret.Data {
		data[name] = value
	}
	ring.AddSecret("", data)
	identities := ring.Identities()
	if len(identities) == 0 {
		return "", errNoRecipient
	}
	return identities[0].Recipient, nil
}
