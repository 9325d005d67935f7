package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"holdfast.dev/holdfast/internal/record"
	"holdfast.dev/holdfast/internal/record/metric"
)

// Resources shows the resources of some kinds, as the cache has them at the time of a scrape.
type Resources struct {
	// Reader is the manager's cache. It must hold the kinds already, or else it begins to watch them.
	Reader client.Reader
	// Leads tells whether this replica is the one that works; the others show nothing, so that nothing
	// is counted twice.
	Leads func() bool
	// Set drops the series of what is gone, and learns which units are held.
	Set *metric.Set

	kinds []shown
}

// shown is a kind with the description of its series.
type shown struct {
	kind
	name string
	info *prometheus.Desc
}

const (
	conditionName, conditionHelp = "gotk_reconcile_condition", "The current condition status of a GitOps Toolkit resource reconciliation."
	suspendName, suspendHelp     = "gotk_suspend_status", "The current suspend status of a GitOps Toolkit resource."
)

// commonLabels are those of gotk_resource_info that all kinds have.
func commonLabels() []string {
	return []string{"customresource_group", "customresource_version", "customresource_kind", "exported_namespace", "name", "ready", "suspended"}
}

// Show adds kinds by name.
func (r *Resources) Show(names ...string) error {
	known := kinds()
	for _, name := range names {
		one, found := known[name]
		if !found {
			return fmt.Errorf("showing resources of kind %s: nobody has said how", name)
		}
		info := prometheus.NewDesc("gotk_resource_info", "The current state of a GitOps Toolkit resource.",
			append(commonLabels(), one.labels...), nil)
		r.kinds = append(r.kinds, shown{kind: one, name: name, info: info})
	}
	return nil
}

// Describe implements prometheus.Collector. It says nothing: the labels differ by kind.
func (r *Resources) Describe(chan<- *prometheus.Desc) {}

// scrapeTime bounds how long a scrape waits for a cache that is not in sync yet.
const scrapeTime = 2 * time.Second

// Collect implements prometheus.Collector.
func (r *Resources) Collect(out chan<- prometheus.Metric) {
	if !r.Leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	condition := prometheus.NewDesc(conditionName, conditionHelp, []string{"kind", "name", "namespace", "type", "status"}, nil)
	suspend := prometheus.NewDesc(suspendName, suspendHelp, []string{"kind", "name", "namespace"}, nil)
	for _, one := range r.kinds {
		list := one.list()
		if err := r.Reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			continue // the cache is not there yet, and the next scrape comes soon
		}
		present := map[types.NamespacedName]bool{}
		err := apimeta.EachListItem(list, func(item runtime.Object) error {
			o, ok := item.(client.Object)
			if !ok {
				return nil
			}
			present[client.ObjectKeyFromObject(o)] = true
			found := one.facts(o)
			out <- infoOf(one, o, found)
			showConditions(out, condition, one.name, o, found.conditions)
			out <- gauge(suspend, found.suspended, one.name, o.GetName(), o.GetNamespace())
			r.learn(one.name, o, found.conditions)
			return nil
		})
		if err == nil {
			r.Set.Retain(one.name, func(namespace, name string) bool {
				return present[types.NamespacedName{Namespace: namespace, Name: name}]
			})
		}
	}
}

func infoOf(one shown, o client.Object, found facts) prometheus.Metric {
	ready := ""
	if condition := apimeta.FindStatusCondition(found.conditions, meta.ReadyCondition); condition != nil {
		ready = string(condition.Status)
	}
	values := []string{
		one.version.Group, one.version.Version, one.name, o.GetNamespace(), o.GetName(), ready, flag(found.suspended),
	}
	return prometheus.MustNewConstMetric(one.info, prometheus.GaugeValue, 1, append(values, found.values...)...)
}

// showConditions shows the conditions that Flux showed: readiness always, the others while they are there.
func showConditions(out chan<- prometheus.Metric, desc *prometheus.Desc, kind string, o client.Object, conditions []metav1.Condition) {
	for _, name := range []string{meta.ReadyCondition, meta.ReconcilingCondition, meta.StalledCondition} {
		condition := apimeta.FindStatusCondition(conditions, name)
		if condition == nil && name != meta.ReadyCondition {
			continue
		}
		current := metav1.ConditionUnknown
		if condition != nil {
			current = condition.Status
		}
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			out <- gauge(desc, status == current, kind, o.GetName(), o.GetNamespace(), name, string(status))
		}
	}
}

func gauge(desc *prometheus.Desc, on bool, labels ...string) prometheus.Metric {
	value := 0.0
	if on {
		value = 1
	}
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// The reasons of Ready that say that a unit is not where Git wants it, and stays there.
const (
	reasonRolledBack     = "RolledBack"
	reasonRollbackFailed = "RollbackFailed"
	reasonFrozen         = "Frozen"
)

// learn tells the set of holds that began before the program did: the status says so.
func (r *Resources) learn(kind string, o client.Object, conditions []metav1.Condition) {
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready == nil {
		return
	}
	subject := record.Subject{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	switch {
	case ready.Status == metav1.ConditionTrue:
		r.Set.Hold(subject, false)
		r.Set.Freeze(subject, false)
	case ready.Reason == reasonRolledBack || ready.Reason == reasonRollbackFailed:
		r.Set.Hold(subject, true)
	case ready.Reason == reasonFrozen:
		r.Set.Hold(subject, true)
		r.Set.Freeze(subject, true)
	}
}
