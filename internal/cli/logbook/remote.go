package logbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"holdfast.dev/holdfast/internal/hook/logbook"
	"holdfast.dev/holdfast/internal/record/audit"
)

const (
	// Account is the ServiceAccount whose tokens open the log: who may make one, may read.
	Account = "holdfast-auditor"
	// Service is the Service of the controller, and the name of its port for readers.
	Service = "http:holdfast-controller:audit"

	tokenTime = 10 * time.Minute
)

// Remote is the log of a controller in a cluster.
type Remote struct {
	cluster   kubernetes.Interface
	namespace string // of the controller
	token     string
}

// Reach makes a Remote: with a token of the auditor's account, through the API server.
func Reach(ctx context.Context, config *rest.Config, namespace string) (*Remote, error) {
	cluster, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	seconds := int64(tokenTime.Seconds())
	made, err := cluster.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, Account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{logbook.Audience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking for a token of ServiceAccount %s/%s, which reads the audit log: %w", namespace, Account, err)
	}
	return &Remote{cluster: cluster, namespace: namespace, token: made.Status.Token}, nil
}

// get asks the controller for something. The caller closes the answer.
func (r *Remote) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request := r.cluster.CoreV1().RESTClient().Get().Namespace(r.namespace).Resource("services").Name(Service).SubResource("proxy").
		Suffix("v1", path).SetHeader(logbook.TokenHeader, r.token)
	for name, values := range query {
		for _, value := range values {
			request = request.Param(name, value)
		}
	}
	answer, err := request.Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the controller in namespace %s for its audit log: %w", r.namespace, told(err))
	}
	return answer, nil
}

// told takes what the controller or the API server said out of an error.
func told(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse && cause.Message != "" && cause.Message != "unknown" {
			return fmt.Errorf("%w: %s", err, cause.Message)
		}
	}
	return err
}

// List implements Logbook.
func (r *Remote) List(ctx context.Context, filter audit.Filter) ([]audit.Record, error) {
	answer, err := r.get(ctx, "records", logbook.Query(filter))
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Close() }()
	var shown []logbook.Record
	if err := json.NewDecoder(answer).Decode(&shown); err != nil {
		return nil, fmt.Errorf("reading the controller's records: %w", err)
	}
	found := make([]audit.Record, len(shown))
	for i, one := range shown {
		root, err := tlog.ParseHash(one.Root)
		if err != nil {
			return nil, fmt.Errorf("reading the controller's record %d: %w", one.Number, err)
		}
		found[i] = audit.Record{N: one.Number, Root: root, Entry: one.Entry}
	}
	return found, nil
}

// Export implements Logbook.
func (r *Remote) Export(ctx context.Context, format string, out io.Writer) error {
	answer, err := r.get(ctx, "export", url.Values{"format": {format}})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if _, err := io.Copy(out, answer); err != nil {
		return fmt.Errorf("reading the controller's audit log: %w", err)
	}
	return nil
}

// Verify implements Logbook: it judges the export here. The controller's own word counts for nothing.
func (r *Remote) Verify(ctx context.Context, trust audit.Trust) (audit.Report, error) {
	answer, err := r.get(ctx, "export", nil)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = answer.Close() }()
	return audit.VerifyExport(answer, trust)
}

// Close implements Logbook. The token ends by itself.
func (r *Remote) Close() error { return nil }
