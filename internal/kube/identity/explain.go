package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/smithy-go"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// home is an error of our own cluster. It names the account, and may be shown.
type home struct{ error }

func (h home) Unwrap() error { return h.error }

// title is what people call a provider.
var title = map[string]string{AWS: "AWS", Azure: "Azure", Google: "Google Cloud"}

// ownHint says how our own pod gets an identity.
var ownHint = map[string]string{
	AWS:    "IAM Roles for Service Accounts or EKS Pod Identity, and the variable AWS_REGION",
	Azure:  "workload identity or a managed identity",
	Google: "Workload Identity Federation or the identity of the node",
}

// explain says why a provider gives nothing. Of what it answers only codes are kept: the rest goes on for
// long, is another each time, and may repeat what it was sent.
func (h Holder) explain(provider string, err error) error {
	name := title[provider]
	var own home
	switch {
	case errors.As(err, &own) && apierrors.IsNotFound(own.error):
		return fmt.Errorf("%s not found: create it", h.account)
	case errors.As(err, &own) && apierrors.IsForbidden(own.error):
		return fmt.Errorf("requesting a token of %s: the controller may not: allow it to create serviceaccounts/token", h.account)
	case errors.As(err, &own):
		return fmt.Errorf("%w: %w", ErrUnavailable, own.error)
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrNoAccount), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s did not answer in time", ErrUnavailable, name)
	}
	status, code := answer(err)
	switch {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, throttled[code]:
		return fmt.Errorf("%w: %s answers with status %s", ErrUnavailable, name, said(status, code))
	case status != 0 || code != "":
		return fmt.Errorf("%s refuses %s: %s", name, h.account, said(status, code))
	case h.account.Name == "" && !disconnected(err):
		return fmt.Errorf("the controller's pod has no identity at %s: give it one by %s", name, ownHint[provider])
	default: // what is wrong with account and request is found before anybody is asked
		return fmt.Errorf("%w: there is no connection to %s", ErrUnavailable, name)
	}
}

// explainAudience says why it is not known for whom a token should be made.
func (h Holder) explainAudience(provider string, err error) error {
	if provider == Google && !strings.Contains(err.Error(), "annotation") {
		return fmt.Errorf("%s: outside of GKE it needs the annotation gcp.auth.fluxcd.io/workload-identity-provider", h.account)
	}
	return fmt.Errorf("%s: %s", h.account, oneLine(err))
}

func said(status int, code string) string {
	text := strings.TrimSpace(code)
	if status != 0 && text != "" {
		return strconv.Itoa(status) + " (" + text + ")"
	}
	if text == "" {
		return "status " + strconv.Itoa(status)
	}
	return text
}

// throttled are codes of AWS that mean another time.
var throttled = map[string]bool{"ThrottlingException": true, "Throttling": true, "RequestLimitExceeded": true, "IDPCommunicationError": true}

var (
	statusIn = regexp.MustCompile(`status code (\d{3})`)
	codeIn   = regexp.MustCompile(`"error":\s*"([a-z_]{1,40})"`)
	azureIn  = regexp.MustCompile(`AADSTS\d{1,9}`)
)

// answer returns the status and the code of what a provider answered.
func answer(err error) (status int, code string) {
	var (
		amazon smithy.APIError
		denied *azidentity.AuthenticationFailedError
		told   *azcore.ResponseError
		oauth  *oauth2.RetrieveError
		google *googleapi.Error
	)
	switch {
	case errors.As(err, &amazon):
		var answered interface{ HTTPStatusCode() int }
		if errors.As(err, &answered) && answered.HTTPStatusCode() >= http.StatusInternalServerError {
			status = answered.HTTPStatusCode()
		}
		return status, short(amazon.ErrorCode())
	case errors.As(err, &denied):
		if denied.RawResponse != nil {
			status = denied.RawResponse.StatusCode
		}
		return status, azureIn.FindString(err.Error())
	case errors.As(err, &told):
		return told.StatusCode, short(told.ErrorCode)
	case errors.As(err, &oauth) && oauth.Response != nil:
		return oauth.Response.StatusCode, short(oauth.ErrorCode)
	case errors.As(err, &google):
		return google.Code, ""
	}
	// The client for tokens of external accounts has no type for what it is answered.
	if found := statusIn.FindStringSubmatch(err.Error()); found != nil {
		status, _ = strconv.Atoi(found[1])
		if found := codeIn.FindStringSubmatch(err.Error()); found != nil {
			code = found[1]
		}
	}
	return status, code
}

// short keeps a code that looks like one.
func short(code string) string {
	if len(code) > 60 || strings.ContainsFunc(code, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.'
	}) {
		return ""
	}
	return code
}

func disconnected(err error) bool {
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request)
}

// oneLine is the text of an error that the library made of a field or an annotation.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 400 {
		text = text[:400] + "…"
	}
	return text
}
