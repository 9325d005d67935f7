package source

import (
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is the length that the API server allows a condition's message.
const maxMessage = 32768

// conditionList is the conditions of an object while a status is made.
type conditionList struct {
	list       []metav1.Condition
	generation int64
	now        metav1.Time
}

func listOf(conditions []metav1.Condition, generation int64, now time.Time) *conditionList {
	return &conditionList{
		list:       slices.Clone(conditions),
		generation: generation,
		now:        metav1.NewTime(now.UTC().Truncate(time.Second)),
	}
}

// set adds or replaces a condition. Its time changes with its state only, and its generation always.
func (c *conditionList) set(kind string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage-3], "") + "..."
	}
	want := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: c.generation, LastTransitionTime: c.now,
	}
	i := slices.IndexFunc(c.list, func(other metav1.Condition) bool { return other.Type == kind })
	if i < 0 {
		c.list = append(c.list, want)
		return
	}
	if have := c.list[i]; have.Status == status && have.Reason == reason && have.Message == message {
		want.LastTransitionTime = have.LastTransitionTime
	}
	c.list[i] = want
}

func (c *conditionList) drop(kinds ...string) {
	c.list = slices.DeleteFunc(c.list, func(other metav1.Condition) bool { return slices.Contains(kinds, other.Type) })
}

// sorted returns the conditions as Flux orders them for people: the summary first, then what was
// observed last, then by name.
func (c *conditionList) sorted() []metav1.Condition {
	first := []string{meta.ReadyCondition, meta.ReconcilingCondition, meta.StalledCondition}
	slices.SortFunc(c.list, func(a, b metav1.Condition) int {
		if order := slices.Index(first, b.Type) - slices.Index(first, a.Type); order != 0 {
			return order
		}
		if a.ObservedGeneration != b.ObservedGeneration {
			return int(b.ObservedGeneration - a.ObservedGeneration)
		}
		return strings.Compare(a.Type, b.Type)
	})
	return c.list
}

// Condition returns a condition, or an empty one.
func Condition(list []metav1.Condition, kind string) metav1.Condition {
	for _, condition := range list {
		if condition.Type == kind {
			return condition
		}
	}
	return metav1.Condition{}
}
