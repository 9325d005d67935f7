package operator

import (
	"fmt"

	"holdfast.dev/holdfast/internal/stage/check"
	"holdfast.dev/holdfast/internal/stage/check/danger"
	"holdfast.dev/holdfast/internal/stage/check/lifecycle"
	"holdfast.dev/holdfast/internal/stage/check/plaintext"
	"holdfast.dev/holdfast/internal/stage/check/policy"
	"holdfast.dev/holdfast/internal/stage/check/policy/live"
	"holdfast.dev/holdfast/internal/stage/check/schema"
	"holdfast.dev/holdfast/internal/stage/check/schema/builtin"
)

// judges are those who look at what a unit wants before anything of it is written.
func (o *Operator) judges() ([]check.Judge, error) {
	schemas, err := schema.New(schema.Options{})
	if err != nil {
		return nil, err
	}
	known := live.New(o.cluster, o.config.Log.WithName("policy"))
	if err := o.manager.Add(known); err != nil {
		return nil, fmt.Errorf("watching policies: %w", err)
	}
	policies, err := policy.New(policy.Options{Live: known, ExceptionNamespaces: o.config.PolicyExceptionNamespaces})
	if err != nil {
		return nil, fmt.Errorf("preparing policies: %w", err)
	}
	return []check.Judge{
		schemas, lifecycle.Judge{Version: builtin.Latest()}, plaintext.Judge{}, danger.Judge{}, policies,
	}, nil
}
