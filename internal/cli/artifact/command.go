package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/stage/source/oci"
)

// registry is what all commands are told of the registry.
type registry struct {
	credentials string
	insecure    bool
}

func (r *registry) register(command *cobra.Command) {
	command.Flags().StringVar(&r.credentials, "creds", "", "login as USER:PASSWORD; otherwise docker's own is taken")
	command.Flags().BoolVar(&r.insecure, "insecure-registry", false, "allow plain HTTP")
}

// parse reads the address of an artifact.
func (r *registry) parse(address string) (name.Reference, error) {
	path, found := strings.CutPrefix(address, oci.Scheme)
	if !found {
		return nil, fmt.Errorf("reading the address %q: it has to begin with %s", address, oci.Scheme)
	}
	var options []name.Option
	if r.insecure {
		options = append(options, name.Insecure)
	}
	reference, err := name.ParseReference(path, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the address %q: it has the form %shost/path:tag", address, oci.Scheme)
	}
	return reference, nil
}

func (r *registry) login(repository name.Repository) (authn.Authenticator, error) {
	if r.credentials == "" {
		return authn.DefaultKeychain.Resolve(repository)
	}
	username, password, found := strings.Cut(r.credentials, ":")
	if !found {
		return nil, errors.New("reading --creds: it has the form USER:PASSWORD")
	}
	return &authn.Basic{Username: username, Password: password}, nil
}

func (r *registry) options(ctx context.Context, repository name.Repository) ([]remote.Option, error) {
	login, err := r.login(repository)
	if err != nil {
		return nil, err
	}
	return []remote.Option{remote.WithContext(ctx), remote.WithAuth(login), remote.WithUserAgent("holdfast")}, nil
}

// NewPush makes `push artifact`.
func NewPush(out io.Writer) *cobra.Command {
	var p push
	command := &cobra.Command{
		Use:   "artifact oci://HOST/PATH:TAG --path FOLDER --source URL --revision REVISION",
		Short: "Push a folder to a registry as an artifact that units can be delivered from",
		Example: "  holdfast push artifact oci://ghcr.io/org/app:1.0.0 --path ./deploy \\\n" +
			"    --source https://github.com/org/app --revision 'main@sha1:5cb2…'",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			name, err := p.run(command.Context(), args[0], time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, "pushed", name)
			return err
		},
	}
	p.register(command)
	set := command.Flags()
	set.StringVar(&p.path, "path", "", "folder, or one file, to push")
	set.StringVar(&p.source, "source", "", "where the files come from, for example the URL of the Git repository")
	set.StringVar(&p.revision, "revision", "", "which revision of it they are, for example main@sha1:5cb2…")
	set.StringSliceVarP(&p.annotations, "annotations", "a", nil, "further annotations, KEY=VALUE")
	set.StringSliceVar(&p.ignore, "ignore-paths", nil, "patterns of files to leave out, as in .gitignore")
	set.BoolVar(&p.reproducible, "reproducible", false, "say that it was created at the beginning of time, so that equal files are one artifact")
	for _, flag := range []string{"path", "source", "revision"} {
		_ = command.MarkFlagRequired(flag)
	}
	return command
}

// NewPull makes `pull artifact`.
func NewPull(out io.Writer) *cobra.Command {
	var r registry
	var folder string
	command := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --output FOLDER",
		Short:   "Pull the files of an artifact into a folder",
		Example: "  holdfast pull artifact oci://ghcr.io/org/app:1.0.0 --output ./app",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			pulled, err := pull(command.Context(), r, args[0], folder)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "pulled %s\n%d files in %s\n", pulled.name, pulled.files, folder)
			if err == nil && pulled.revision != "" {
				_, err = fmt.Fprintf(out, "made of %s at %s\n", pulled.source, pulled.revision)
			}
			return err
		},
	}
	r.register(command)
	command.Flags().StringVarP(&folder, "output", "o", "", "folder for the files; what is in it stays, unless the artifact has a file of that name")
	_ = command.MarkFlagRequired("output")
	return command
}

// NewTag makes `tag artifact`.
func NewTag(out io.Writer) *cobra.Command {
	var r registry
	var tags []string
	command := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --tag TAG",
		Short:   "Give an artifact further tags",
		Example: "  holdfast tag artifact oci://ghcr.io/org/app:1.0.0 --tag latest",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			for _, tag := range tags {
				name, err := r.tag(command.Context(), args[0], tag)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintln(out, "tagged", name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	r.register(command)
	command.Flags().StringSliceVar(&tags, "tag", nil, "tag to set; may be given more than once")
	_ = command.MarkFlagRequired("tag")
	return command
}

func (r *registry) tag(ctx context.Context, address, tag string) (string, error) {
	reference, err := r.parse(address)
	if err != nil {
		return "", err
	}
	wanted, err := name.NewTag(reference.Context().Name() + ":" + tag)
	if err != nil {
		return "", fmt.Errorf("tagging %s: %q is no tag", address, tag)
	}
	options, err := r.options(ctx, reference.Context())
	if err != nil {
		return "", err
	}
	found, err := remote.Get(reference, options...)
	if err == nil {
		err = remote.Tag(reference.Context().Tag(tag), found, options...)
	}
	if err != nil {
		return "", fmt.Errorf("tagging %s: %w", address, err)
	}
	return wanted.String() + "@" + found.Digest.String(), nil
}
