package receiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"holdfast.dev/holdfast/internal/model/expression"
	"holdfast.dev/holdfast/internal/model/fault"
)

// reasonInvalidExpression says that a CEL expression cannot be used.
const reasonInvalidExpression = "InvalidCELExpression"

// token reads the token of a Receiver. A Receiver of type generic-oidc has none.
func (c *Controller) token(ctx context.Context, r *notificationv1.Receiver) (string, error) {
	if r.Spec.Type == notificationv1.GenericOIDCReceiver {
		return "", nil
	}
	if r.Spec.SecretRef == nil {
		return "", fault.Stall(notificationv1.ValidationFailedReason, fmt.Errorf("spec.secretRef is required for type '%s'", r.Spec.Type))
	}
	name := types.NamespacedName{Namespace: r.Namespace, Name: r.Spec.SecretRef.Name}
	var secret corev1.Secret
	if err := c.Secrets.Get(ctx, name, &secret); err != nil {
		return "", fault.Because(notificationv1.TokenNotFoundReason, fmt.Errorf("unable to read token from secret '%s' error: %w", name, err))
	}
	required := []string{"token"}
	if r.Spec.Type == notificationv1.GCRReceiver {
		required = append(required, "email", "audience")
	}
	for _, key := range required {
		if len(secret.Data[key]) == 0 {
			return "", fault.Because(notificationv1.TokenNotFoundReason, fmt.Errorf("invalid '%s' secret data: required field '%s'", name, key))
		}
	}
	return string(secret.Data["token"]), nil
}

// examine checks what can be known to be wrong before the first call.
func examine(r *notificationv1.Receiver) error {
	if r.Spec.Type == notificationv1.GenericOIDCReceiver {
		if err := examineProviders(r.Spec.OIDCProviders); err != nil {
			return err
		}
	}
	filters := []string{r.Spec.ResourceFilter}
	for _, one := range r.Spec.Resources {
		filters = append(filters, one.Filter)
	}
	for _, text := range filters {
		if text == "" {
			continue
		}
		if _, err := expression.Compile(text, expression.Options{Objects: []string{"res", "req", "claims"}}); err != nil {
			return fault.Stall(reasonInvalidExpression, err)
		}
	}
	return nil
}

func examineProviders(providers []notificationv1.OIDCProvider) error {
	invalid := func(err error) error { return fault.Stall(notificationv1.ValidationFailedReason, err) }
	if len(providers) == 0 {
		return invalid(errors.New("generic-oidc receivers must define at least one oidcProvider"))
	}
	names := []string{"claims", "vars"}
	for _, provider := range providers {
		if !strings.HasPrefix(provider.IssuerURL, "https://") && !strings.HasPrefix(provider.IssuerURL, "http://") {
			return invalid(fmt.Errorf("issuerURL '%s' must start with http:// or https://", provider.IssuerURL))
		}
		if len(provider.Validations) == 0 {
			return invalid(fmt.Errorf("the provider of issuer '%s' needs at least one validation: without, anybody whom the issuer knows could call", provider.IssuerURL))
		}
		for _, one := range provider.Variables {
			if _, err := expression.Compile(one.Expression, expression.Options{Objects: names, AnyResult: true}); err != nil {
				return fault.Stall(reasonInvalidExpression, fmt.Errorf("variable '%s': %w", one.Name, err))
			}
		}
		for _, one := range provider.Validations {
			if _, err := expression.Compile(one.Expression, expression.Options{Objects: names}); err != nil {
				return fault.Stall(reasonInvalidExpression, fmt.Errorf("validation '%s': %w", one.Message, err))
			}
		}
	}
	return nil
}

// handled is the status with the last request for a reconciliation answered.
func handled(r *notificationv1.Receiver) notificationv1.ReceiverStatus {
	status := *r.Status.DeepCopy()
	if token, found := meta.ReconcileAnnotationValue(r.Annotations); found {
		status.LastHandledReconcileAt = token
	}
	return status
}

// statusOf says how a Receiver stands, in Flux's words: err is what keeps it from working.
func statusOf(r *notificationv1.Receiver, token string, err error, now time.Time) notificationv1.ReceiverStatus {
	status := handled(r)
	set := func(kind string, state metav1.ConditionStatus, reason, message string) {
		apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: state, Reason: reason, Message: message, ObservedGeneration: r.Generation,
			LastTransitionTime: metav1.NewTime(now),
		})
	}
	apimeta.RemoveStatusCondition(&status.Conditions, meta.StalledCondition)
	apimeta.RemoveStatusCondition(&status.Conditions, meta.ReconcilingCondition)
	switch {
	case err == nil:
		status.WebhookPath = r.GetWebhookPath(token)
		status.ObservedGeneration = r.Generation
		set(meta.ReadyCondition, metav1.ConditionTrue, meta.SucceededReason, "Receiver initialized for path: "+status.WebhookPath)
	case fault.KindOf(err) == fault.Stalled:
		status.WebhookPath = ""
		status.ObservedGeneration = r.Generation
		reason := fault.ReasonOf(err, notificationv1.ValidationFailedReason)
		set(meta.StalledCondition, metav1.ConditionTrue, reason, err.Error())
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, err.Error())
	default:
		status.WebhookPath = ""
		set(meta.ReadyCondition, metav1.ConditionFalse, fault.ReasonOf(err, notificationv1.TokenNotFoundReason), err.Error())
		set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "Reconciliation in progress")
	}
	return status
}
