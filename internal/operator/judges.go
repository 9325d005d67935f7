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

// gate are those who look at what a unit wants before anything of it is written. All lines share them, with
// their watches.
type gate struct {
	schemas  *schema.Judge
	policies *policy.Engine
}

// ofFiles judge what is written in a tree.
func (g gate) ofFiles() []check.Judge {
	return []check.Judge{g.schemas, lifecycle.Judge{Version: builtin.Latest()}, plaintext.Judge{}, danger.Judge{}, g.policies}
}

// ofCharts judge what templates make. What a template puts into a Secret was not in the tree.
func (g gate) ofCharts() []check.Judge {
	return []check.Judge{g.schemas, lifecycle.Judge{Version: builtin.Latest()}, danger.Judge{}, g.policies}
}

// openGate prepares the judges, and has the cluster's policies watched.
func (o *Operator) openGate() error {
	schemas, err := schema.New(schema.Options{})
	if err != nil {
		return err
	}
	known := live.New(o.cluster, o.config.Log.WithName("policy"))
	if err := o.manager.Add(known); err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	policies, err := policy.New(policy.Options{Live: known, ExceptionNamespaces: o.config.PolicyExceptionNamespaces})
	if err != nil {
		return fmt.Errorf("preparing policies: %w", err)
	}
	o.gate = gate{schemas, policies}
	return nil
}
